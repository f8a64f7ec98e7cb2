"""What computes the features of a stream: a model in this process, or a live server."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Samples
from ..client import Client, Event
from ..config import SAMPLE_RATE
from ..heads import Head, HeadReader
from ..protocol import Features, Hello
from ..session import StreamSession
from ..streaming import Streaming, resolve_layers

_POLL_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class Chunk:
    """Features that came together.

    Attributes:
        array: ``[layers, frames, dim]``.
        position: the place of the first frame in the stream.
        seconds: where in the stream the last frame ends.
        latency: from the moment its audio was complete until it was here, in seconds.
        said: what heads say of it, as in ``head`` messages.
    """

    array: npt.NDArray[Any]
    position: int
    seconds: float
    latency: float
    said: tuple[dict[str, Any], ...] = ()


class Computer(Protocol):
    """Takes audio and gives features."""

    layers: tuple[int, ...]
    dim: int
    chunk_ms: int
    busy: float  # seconds of computing so far

    def push(self, samples: Samples, arrived: float | None) -> list[Chunk]:
        """Take a packet and return what is ready.

        Args:
            samples: mono ``[samples]`` at the rate of the source.
            arrived: when it came, in seconds of the monotonic clock; now when None.
        """

    def poll(self) -> list[Chunk]:
        """Return what has become ready without another packet."""

    def finish(self) -> list[Chunk]:
        """End the stream and return the rest."""

    def close(self) -> None:
        """Let go of everything."""


class LocalModel:
    """A model in this process.

    Args:
        model: causal, in eval mode.
        sample_rate: of the packets.
        layers: to return; all when None.
        heads: that listen as well.
    """

    def __init__(
        self,
        model: Streaming[Any],
        sample_rate: int,
        layers: Sequence[int] | None,
        heads: Sequence[Head] = (),
    ) -> None:
        everything = tuple(range(model.config.num_layers))
        self.layers = everything if layers is None else resolve_layers(layers, len(everything))
        # Heads hear all layers, whatever is wanted beside them.
        self._session = StreamSession(model, sample_rate, layers=everything if heads else self.layers)
        self._wanted = list(self.layers) if heads else slice(None)
        self._reader = HeadReader({head.config.name: head.to(model.device) for head in heads})
        self._heard = self._reader.begin()
        self._chunk_frames = model.config.chunk_samples // model.config.hop
        self.dim = model.config.dim
        self.chunk_ms = model.config.chunk_ms
        self.busy = 0.0
        self._hop = model.config.hop
        # Pieces so small that none completes two chunks: each chunk is then told of by itself (unless the
        # resampler, which gives its audio in bursts, brings several).
        self._piece = max(1, model.config.chunk_samples * sample_rate // SAMPLE_RATE // 2)

    def push(self, samples: Samples, arrived: float | None) -> list[Chunk]:
        """Compute the chunks that the packet completes."""
        chunks = []
        for begin in range(0, len(samples), self._piece):
            began = time.monotonic()
            features = self._session.push(samples[begin : begin + self._piece])
            chunks += self._chunk(features, began, began if arrived is None else arrived)
        return chunks

    def poll(self) -> list[Chunk]:
        """Return nothing: what a packet completes comes with the packet."""
        return []

    def finish(self) -> list[Chunk]:
        """Compute what is left."""
        began = time.monotonic()
        return self._chunk(self._session.finish(), began, began)

    def close(self) -> None:
        """Do nothing."""

    def _chunk(self, features: Any, began: float, arrived: float) -> list[Chunk]:
        end = self._session.frames
        said = self._listen(features, end - features.shape[1])
        array = features[self._wanted].float().cpu().numpy()
        now = time.monotonic()
        self.busy += now - began
        if not array.shape[1]:
            return []
        seconds = end * self._hop / SAMPLE_RATE
        return [Chunk(array, end - array.shape[1], seconds, now - arrived, tuple(said))]

    def _listen(self, features: Tensor, begin: int) -> list[dict[str, Any]]:
        """Let the heads hear what came, chunk by chunk: a resampler's burst may be several."""
        said: list[dict[str, Any]] = []
        with torch.inference_mode():
            for part in torch.split(features, self._chunk_frames, dim=1):
                new, self._heard = self._reader.advance(list(part), self._heard, position=begin)
                begin += part.shape[1]
                said += new
        return said


class LiveServer:
    """A live server, which may be on another machine.

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
        self._piece = max(1, int(ready["packet_bytes"]) // 8)
        self._samples = 0
        # When how much of the stream had come, in seconds; for telling how old features are.
        self._arrivals: deque[tuple[float, float]] = deque()
        self._said: list[dict[str, Any]] = []
        self._events: queue.SimpleQueue[tuple[float, Event | Exception]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="features", daemon=True)
        self._reader.start()

    def push(self, samples: Samples, arrived: float | None) -> list[Chunk]:
        """Send the packet and return what has come back so far."""
        for begin in range(0, len(samples), self._piece):
            part = samples[begin : begin + self._piece]
            self._samples += len(part)
            self._arrivals.append((self._samples / self._rate, arrived or time.monotonic()))
            self._client.send(part)
        return self.poll()

    def poll(self) -> list[Chunk]:
        """Return what has come back."""
        chunks = []
        while not self._events.empty():
            chunks += self._taken(*self._events.get())[0]
        return chunks

    def finish(self) -> list[Chunk]:
        """Flush, and wait for the rest."""
        self._client.flush()
        chunks: list[Chunk] = []
        ended = False
        while not ended:
            more, ended = self._taken(*self._events.get())
            chunks += more
        return chunks

    def close(self) -> None:
        """Say good-bye."""
        self._over.set()
        self._reader.join(2 * _POLL_SECONDS)
        self._client.close()

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

    def _taken(self, came: float, event: Event | Exception) -> tuple[list[Chunk], bool]:
        """Return the chunk of an event, and whether it is the last."""
        if isinstance(event, Exception):
            raise event
        if not isinstance(event, Features):
            if event["type"] == "head":
                self._said.append({name: event[name] for name in event if name not in ("type", "stream")})
            return [], event["type"] == "end"
        said, self._said = tuple(self._said), []
        self.busy += event.compute_us / 1e6
        seconds = (event.position + event.frames) * self._frame_seconds
        while len(self._arrivals) > 1 and self._arrivals[0][0] < seconds - 1e-6:
            self._arrivals.popleft()
        latency = came - self._arrivals[0][1]
        return [Chunk(np.asarray(event.array), event.position, seconds, latency, said)], False
