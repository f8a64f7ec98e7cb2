"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        prefix = "streaming_wavlm_"
        self.streams = Gauge(prefix + "streams", "Open streams", registry=registry)
        self.parked = Gauge(prefix + "parked_streams", "Streams waiting for their client", registry=registry)
        self.queue = Gauge(prefix + "queue", "Chunks waiting for the model", registry=registry)
        self.latency = Histogram(
            prefix + "chunk_latency_seconds",
            "From the last sample of a chunk to its features",
            buckets=_SECONDS,
            registry=registry,
        )
        self.compute = Histogram(
            prefix + "step_seconds", "One batched step of the model", buckets=_SECONDS, registry=registry
        )
        self.batch = Histogram(
            prefix + "batch_size", "Streams in a step", buckets=_BATCHES, registry=registry
        )
        self.audio = Counter(prefix + "audio_seconds", "Audio taken", registry=registry)
        self.frames = Counter(prefix + "frames", "Frames sent", registry=registry)
        self.refused = Counter(prefix + "refused", "Connections refused", ["reason"], registry=registry)
        self.closed = Counter(
            prefix + "closed", "Streams closed by the server", ["reason"], registry=registry
        )
        self.resumed = Counter(prefix + "resumed", "Streams that went on", registry=registry)
        self.dropped = Counter(prefix + "dropped_streams", "Parked streams given up", registry=registry)
        self.errors = Counter(prefix + "errors", "Failures inside the server", ["where"], registry=registry)

    def step(self, streams: int, seconds: float) -> None:
        """Count one step of the model."""
        self.batch.observe(streams)
        self.compute.observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
