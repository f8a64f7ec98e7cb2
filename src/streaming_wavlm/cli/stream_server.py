"""Features of a stream that a live server computes."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..audio import Samples
from ..client import Client, Event
from ..protocol import Features, Hello
from .stream_features import Chunk

_POLL_SECONDS = 0.2
# How often whoever waits for the rest may think of something else.
_WAIT_SECONDS = 0.05
# What had arrived before the connection broke is read before the break is told, if it takes no longer.
_REST_SECONDS = 5.0


class LiveServer:
    """A live server, which may be on another machine.

    One thread speaks and another listens, so that a server that makes its clients wait does not keep whoever
    uses this from writing what has come, or from leaving.

    Args:
        url: of the server.
        hello: what is sent and wanted; its encoding is ``"float32"``.
        token: bearer token.

    Raises:
        ServerError: there is no server, or it refused.
    """

    def __init__(self, url: str, hello: Hello, token: str | None) -> None:
        self._client = Client(url, hello, token=token)
        ready = self._client.ready
        self.layers = tuple(ready["layers"]) if hello.weights is None else (0,)
        self.dim = int(ready["dim"])
        self.chunk_ms = int(ready["chunk_ms"])
        self.busy = 0.0
        self._frame_seconds = ready["frame_ms"] / 1000
        self._rate = hello.sample_rate
        self._samples = 0
        # When how much of the stream had come, in seconds; for telling how old features are.
        self._arrivals: deque[tuple[float, float]] = deque()
        self._said: list[dict[str, Any]] = []
        self._ended = False
        self._failed: Exception | None = None
        self._events: queue.SimpleQueue[tuple[float, Event | Exception]] = queue.SimpleQueue()
        # One packet at a time: what waits longer is the business of the queue behind the source.
        self._packets: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
        self._said_all = threading.Event()
        self._said_all.set()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="features", daemon=True)
        self._writer = threading.Thread(target=self._write, name="speaker", daemon=True)
        self._reader.start()
        self._writer.start()

    def ready(self, seconds: float) -> bool:
        """Wait until the last packet is on its way."""
        return self._said_all.wait(seconds)

    def push(self, samples: Samples, arrived: float | None) -> list[Chunk]:
        """Send the packet and return what has come back so far."""
        self._samples += len(samples)
        self._arrivals.append((self._samples / self._rate, arrived or time.monotonic()))
        self._say(samples)
        return self.poll()

    def poll(self) -> list[Chunk]:
        """Return what has come back.

        Raises:
            ServerError: the stream is lost; everything that came before was returned.
        """
        return self._come(0.0)

    def finish(self) -> Iterator[list[Chunk]]:
        """Flush, and yield the rest as it comes."""
        self._say(None)
        while not self._ended:
            yield self._come(_WAIT_SECONDS)

    def close(self) -> None:
        """Say good-bye."""
        self._over.set()
        self._packets.put(None)
        self._reader.join(2 * _POLL_SECONDS)
        self._client.close()

    def _say(self, packet: Samples | None) -> None:
        self._said_all.clear()
        self._packets.put(packet)

    def _write(self) -> None:
        try:
            while not self._over.is_set():
                samples = self._packets.get()
                if samples is None:
                    if not self._over.is_set():
                        self._client.flush()
                    return
                self._client.send(samples)
                self._said_all.set()
        except Exception as error:  # noqa: BLE001 - told by the thread that waits for features
            self._reader.join(_REST_SECONDS)
            self._events.put((0.0, error))

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                event = self._client.receive(_POLL_SECONDS)
                if event is not None:
                    self._events.put((time.monotonic(), event))
                if isinstance(event, dict) and event["type"] == "end":
                    return
        except Exception as error:  # noqa: BLE001 - told by the thread that waits for features
            self._events.put((0.0, error))

    def _come(self, seconds: float) -> list[Chunk]:
        """Return the chunks that are here, or come in time; an error only when there is none before it."""
        chunks: list[Chunk] = []
        while self._failed is None and not self._ended:
            try:
                came, event = self._events.get(timeout=seconds) if seconds else self._events.get_nowait()
            except queue.Empty:
                break
            seconds = 0.0
            if isinstance(event, Exception):
                self._failed = event
            elif isinstance(event, Features):
                chunks.append(self._chunk(came, event))
            elif event["type"] == "head":
                self._said.append({name: event[name] for name in event if name not in ("type", "stream")})
            else:
                self._ended = event["type"] == "end"
        if self._failed is not None and not chunks:
            raise self._failed
        return chunks

    def _chunk(self, came: float, features: Features) -> Chunk:
        said, self._said = tuple(self._said), []
        self.busy += features.compute_us / 1e6
        seconds = (features.position + features.frames) * self._frame_seconds
        while len(self._arrivals) > 1 and self._arrivals[0][0] < seconds - 1e-6:
            self._arrivals.popleft()
        latency = came - self._arrivals[0][1]
        return Chunk(np.asarray(features.array), features.position, seconds, latency, said)
