"""A batch of slots in which streams start, fork, pause, move, are abandoned and end, in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming_wavlm.state import StreamState
from streaming_wavlm.streaming import Streaming


@dataclass
class Stream:
    """One recording on its way through a slot, and the features it has given."""

    wav: Tensor
    sent: int = 0
    features: list[tuple[Tensor, ...]] = field(default_factory=list)

    def copy(self) -> Stream:
        return Stream(self.wav, self.sent, list(self.features))


@dataclass
class Slots:
    """Drives a model through a program of operations and keeps what every stream gave."""

    model: Streaming[Any]
    new_stream: Callable[[], Stream]
    size: int
    folder: Path

    def __post_init__(self) -> None:
        self.state: Any = self.model.init_state(self.size)
        self.streams = [self.new_stream() for _ in range(self.size)]
        self.ended: list[Stream] = []

    def step(self, mask: list[bool]) -> None:
        """Give each chosen stream that has a whole chunk left its chunk; the others get rubbish."""
        size = self.model.config.chunk_samples
        active = [
            wanted and len(stream.wav) - stream.sent >= size
            for wanted, stream in zip(mask, self.streams, strict=True)
        ]
        chunk = torch.full((self.size, size), float("nan"), dtype=self.model.dtype)
        for row, stream in enumerate(self.streams):
            if active[row]:
                chunk[row] = stream.wav[stream.sent : stream.sent + size]
                stream.sent += size
        everyone = None if all(active) else torch.tensor(active)
        out, self.state = self.model.step(chunk, self.state, everyone)
        self._collect(out.hidden_states, out.lengths)

    def finish(self, mask: list[bool]) -> None:
        """End the chosen streams that have less than a chunk left, and start new ones in their slots."""
        size = self.model.config.chunk_samples
        left = [len(stream.wav) - stream.sent for stream in self.streams]
        active = [wanted and rest < size for wanted, rest in zip(mask, left, strict=True)]
        lengths = torch.tensor([rest if ends else 0 for rest, ends in zip(left, active, strict=True)])
        tail = torch.full((self.size, int(lengths.max())), float("nan"), dtype=self.model.dtype)
        for row, stream in enumerate(self.streams):
            tail[row, : lengths[row]] = stream.wav[stream.sent : stream.sent + int(lengths[row])]
        out, self.state = self.model.finish(self.state, tail, lengths, torch.tensor(active))
        self._collect(out.hidden_states, out.lengths)
        for row, ends in enumerate(active):
            if ends:
                self.ended.append(self.streams[row])
                self.streams[row] = self.new_stream()

    def reset(self, row: int) -> None:
        """Abandon a stream and start another in its slot."""
        self.state = self.state.reset([row])
        self.streams[row] = self.new_stream()

    def fork(self, source: int, target: int) -> None:
        """Let a slot go on as a copy of another."""
        rows = list(range(self.size))
        rows[target] = source
        self.state = self.state.select(rows)
        self.streams[target] = self.streams[source].copy()

    def move(self, order: list[int]) -> None:
        """Take the batch apart and put it together in another order."""
        single = [self.state.select([row]) for row in order]
        self.state = self.state.stack(single)
        self.streams = [self.streams[row] for row in order]

    def save_and_load(self) -> None:
        """Put the streams on disk and take them up again."""
        path = self.folder / "state.safetensors"
        self.state.save(path)
        self.state = StreamState.load(path, self.model.config)

    def drain(self) -> list[Stream]:
        """Run every stream to its end."""
        while any(len(s.wav) - s.sent >= self.model.config.chunk_samples for s in self.streams):
            self.step([True] * self.size)
        self.finish([True] * self.size)
        return self.ended

    def _collect(self, hidden: tuple[Tensor, ...], lengths: Tensor) -> None:
        for row, stream in enumerate(self.streams):
            frames = int(lengths[row])
            if frames:
                stream.features.append(tuple(layer[row, :frames] for layer in hidden))


def streamed(stream: Stream, layers: int, dim: int) -> list[Tensor]:
    """The features that a stream gave, one tensor ``[frames, dim]`` per layer."""
    if not stream.features:
        return [stream.wav.new_zeros(0, dim)] * layers
    return [torch.cat(pieces) for pieces in zip(*stream.features, strict=True)]
