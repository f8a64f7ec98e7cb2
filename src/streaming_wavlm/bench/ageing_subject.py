"""One old stream beside a young one, stepped in turn in one process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .. import corpus
from ..loading import load
from ..state import StreamState
from .memory import resident_mib

_SPEECH_SECONDS = 60


class AgeingSubject:
    """A stream that grows old, and the state that it had when it was young.

    Args:
        source: the checkpoint.
        engine: the engine's name.
        precision: of its arithmetic.
    """

    def __init__(self, source: str, engine: str, precision: str) -> None:
        self._engine: Any = load(source, engine=engine, precision=precision)
        size = self._engine.config.chunk_samples
        speech = torch.from_numpy(corpus.long_recording(_SPEECH_SECONDS))[None].to(self._engine.dtype)
        self._chunks: Sequence[torch.Tensor] = torch.split(
            speech[:, : speech.shape[1] // size * size], size, 1
        )
        self._old: Any = self._engine.init_state(1)
        self._young: Any = None
        self._next = 0
        self._peak = 0.0

    @torch.inference_mode()
    def advance(self, steps: int) -> float:
        """Let the stream grow older, and the first time keep its state as the young one.

        Returns:
            The mean seconds of a step.
        """
        begin = time.perf_counter()
        for _ in range(steps):
            _, self._old = self._engine.step(self._chunk(), self._old)
            self._look()
        if self._young is None:
            self._young = self._old
        return (time.perf_counter() - begin) / steps

    @torch.inference_mode()
    def jump(self, frames: int, path: str) -> float:
        """Make the stream so many frames older without streaming them: its position alone changes.

        Args:
            frames: how many, whole chunks of them.
            path: a file to save and read the state through.

        Returns:
            The largest difference between the features of a step before the jump and of the same after it.
        """
        self._old.save(path)
        state = StreamState.load(Path(path), self._engine.config)
        moved = dataclasses.replace(state, position=state.position + frames)
        chunk = self._chunk()
        before, _ = self._engine.step(chunk, self._old)
        after, self._old = self._engine.step(chunk, moved.to(dtype=self._engine.dtype))
        pairs = zip(before.hidden_states, after.hidden_states, strict=True)
        return max(float((one - other).abs().max()) for one, other in pairs)

    @torch.inference_mode()
    def compare(self, steps: int) -> dict[str, Any]:
        """Step the old stream and one that goes on from the young state in turn, on the same audio.

        Returns:
            The seconds of the steps of each, one step each not counted, and the most memory that the process
            had after a step since the last comparison, in MiB.
        """
        streams = {"old": self._old, "young": self._young}
        times: dict[str, list[float]] = {"old": [], "young": []}
        for number in range(steps + 1):
            chunk = self._chunk()
            order = ("old", "young") if number % 2 else ("young", "old")
            for name in order:
                begin = time.perf_counter()
                _, streams[name] = self._engine.step(chunk, streams[name])
                if number:
                    times[name].append(time.perf_counter() - begin)
                self._look()
        self._old = streams["old"]
        peak, self._peak = self._peak, 0.0
        return {**times, "memory": peak}

    def _look(self) -> None:
        self._peak = max(self._peak, resident_mib())

    def _chunk(self) -> torch.Tensor:
        self._next += 1
        return self._chunks[self._next % len(self._chunks)]
