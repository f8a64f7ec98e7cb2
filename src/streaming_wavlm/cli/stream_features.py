"""What computes the features of a stream, and a model in this process that does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor

from ..audio import Samples
from ..config import SAMPLE_RATE
from ..heads import Head, HeadReader
from ..session import StreamSession
from ..streaming import Streaming, resolve_layers


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

    def ready(self, seconds: float) -> bool:
        """Wait until it can take a packet, at most so many seconds; return whether it can."""

    def push(self, samples: Samples, arrived: float | None) -> list[Chunk]:
        """Take a packet and return what is ready.

        Args:
            samples: mono ``[samples]`` at the rate of the source.
            arrived: when it came, in seconds of the monotonic clock; now when None.
        """

    def poll(self) -> list[Chunk]:
        """Return what has become ready without another packet."""

    def finish(self) -> Iterator[list[Chunk]]:
        """End the stream and yield the rest as it comes, and now and then nothing: the caller may leave."""

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

    def ready(self, seconds: float) -> bool:
        """Return True: a packet is computed when it comes."""
        return True

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

    def finish(self) -> Iterator[list[Chunk]]:
        """Compute what is left."""
        began = time.monotonic()
        yield self._chunk(self._session.finish(), began, began)

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
