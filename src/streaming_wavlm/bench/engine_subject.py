"""What is measured of an engine in a process of its own: steps, batches, features and memory."""

from __future__ import annotations

import dataclasses
import gc
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import corpus
from ..loading import load
from ..state import StreamState
from ..streaming import Streaming
from .memory import resident_mib

#: Frames that the common state is old: past the window, and a whole number of each chunk that is measured.
AGE_FRAMES = 600
_STATE_CHUNK_MS = 4000


class EngineSubject:
    """A model in an engine.

    Args:
        source: the checkpoint.
        engine: the engine's name.
        precision: of its arithmetic.
    """

    def __init__(self, source: str, engine: str, precision: str) -> None:
        self._base: Streaming[Any] = load(source, engine=engine, precision=precision)
        gc.collect()
        self._engine: Any = self._base
        self._state: Any = None
        self._chunks: list[Tensor] = []
        self._next = 0

    def memory(self) -> float:
        """Return the process's resident memory in MiB."""
        return resident_mib()

    def save_state(self, path: str) -> None:
        """Stream real speech until the window is full, and write the state that all go on from."""
        model: Any = self._with_chunk(_STATE_CHUNK_MS)
        state = model.init_state(1)
        speech = self._speech(AGE_FRAMES * model.config.hop)
        for chunk in torch.split(speech, model.config.chunk_samples, 1):
            _, state = model.step(chunk, state)
        state.save(path)

    def prepare(self, chunk_ms: int, state: str, batch: int = 1) -> None:
        """Get ready to step at a chunk size, past the window.

        Args:
            chunk_ms: the chunk size.
            state: the file of the common state.
            batch: streams; each stands at another position.
        """
        self._engine = self._with_chunk(chunk_ms)
        self._state = self._moved(
            state, [number * self._engine.config.chunk_frames for number in range(batch)]
        )
        speech = self._speech(10 * self._engine.config.chunk_samples).to(self._engine.dtype)
        self._chunks = [
            torch.cat([chunk.roll(97 * number, 1) for number in range(batch)])
            for chunk in torch.split(speech, self._engine.config.chunk_samples, 1)
        ]
        self._next = 0
        self._step(self._chunks[0], self._state)  # whatever a first step does once more, and whether it runs

    def step_output(self, path: str) -> None:
        """Step once from the prepared state, which stays, and write the hidden states ``[layers, …]``."""
        output, _ = self._step(self._chunks[0], self._state)
        np.save(path, torch.stack([layer.float() for layer in output.hidden_states]).numpy())

    def turn(self, warm: int, measured: int) -> list[float]:
        """Go on with the stream and return the seconds that each measured step took.

        Args:
            warm: steps before that are not measured: another process has had the caches meanwhile.
            measured: steps that are.
        """
        times = []
        for number in range(warm + measured):
            chunk = self._chunks[self._next % len(self._chunks)]
            self._next += 1
            begin = time.perf_counter()
            _, self._state = self._step(chunk, self._state)
            if number >= warm:
                times.append(time.perf_counter() - begin)
        return times

    def profile(self, steps: int) -> list[dict[str, Any]]:
        """Return what each of torch's operators takes of a step itself [ms], the longest first."""
        from torch.profiler import ProfilerActivity, profile

        self.turn(2, 0)
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            self.turn(steps, 0)
        found = [
            {
                "name": event.key,
                "ms": round(event.self_cpu_time_total / 1000 / steps, 3),
                "calls": round(event.count / steps, 1),
            }
            for event in recorded.key_averages()
        ]
        return sorted(found, key=lambda operator: -float(operator["ms"]))

    def features(self, seconds: float, path: str) -> None:
        """Stream real speech from its beginning and write all hidden states ``[layers, frames, dim]``."""
        engine: Any = self._with_chunk(self._base.config.chunk_ms)
        state = engine.init_state(1)
        size = engine.config.chunk_samples
        speech = self._speech(round(seconds * 16_000) // size * size).to(engine.dtype)
        pieces = []
        with torch.inference_mode():
            for chunk in torch.split(speech, size, 1):
                output, state = engine.step(chunk, state)
                pieces.append(torch.stack([layer[0].float() for layer in output.hidden_states]))
        np.save(path, torch.cat(pieces, dim=1).numpy())

    @torch.inference_mode()
    def _step(self, chunk: Tensor, state: Any) -> Any:
        return self._engine.step(chunk, state)

    def _with_chunk(self, chunk_ms: int) -> Any:
        base: Any = self._base
        return base if base.config.chunk_ms == chunk_ms else base.with_chunk(chunk_ms)

    def _moved(self, path: str, shifts: list[int]) -> StreamState:
        """Return the common state as streams that are so many frames older: only the position differs."""
        engine = self._engine
        made = StreamState.load(Path(path), engine.config.replace(chunk_ms=_STATE_CHUNK_MS))
        rows = made.select([0] * len(shifts))
        moved = dataclasses.replace(
            rows, position=rows.position + torch.tensor(shifts), fingerprint=engine.config.fingerprint()
        )
        return moved.to(dtype=engine.dtype)

    def _speech(self, samples: int) -> Tensor:
        return torch.from_numpy(corpus.long_recording(samples / 16_000))[None]
