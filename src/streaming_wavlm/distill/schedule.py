"""What changes from step to step, as pure functions of the step: learning rate and chunk size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..config import SAMPLE_RATE, StreamingWavLMConfig
from ..data.plan import CHUNK
from ..errors import ConfigError
from .settings import ChunkChoice, ChunkMs, ScheduleSettings


def learning_rate(step: int, steps: int, peak: float, schedule: ScheduleSettings) -> float:
    """Return the learning rate of a step.

    Args:
        step: the step, from 0.
        steps: steps of the run.
        peak: the highest learning rate.
        schedule: its course.
    """
    if step < schedule.warmup:
        return peak * (step + 1) / (schedule.warmup + 1)
    if schedule.kind == "constant":
        left = min(1.0, (steps - step) / schedule.cooldown) if schedule.cooldown else 1.0
        return peak * (schedule.final + (1 - schedule.final) * left)
    done = min(1.0, (step - schedule.warmup) / max(1, steps - schedule.warmup))
    left = (1 + math.cos(math.pi * done)) / 2 if schedule.kind == "cosine" else 1 - done
    return peak * (schedule.final + (1 - schedule.final) * left)


class ChunkSampler:
    """Draws the chunk size of each batch of a step; all processes draw the same.

    Args:
        choices: chunk sizes and how likely each is; the config's own when there are none.
        config: of the student.
        seed: of the run.

    Raises:
        ConfigError: a chunk size is no multiple of the hop, or is given twice.
    """

    def __init__(self, choices: Sequence[ChunkChoice], config: StreamingWavLMConfig, seed: int) -> None:
        self.sizes: tuple[ChunkMs, ...] = tuple(choice.ms for choice in choices) or (config.chunk_ms,)
        check_chunks(self.sizes, config)
        weights = np.array([choice.weight for choice in choices] or [1.0])
        self._chances = weights / weights.sum()
        self._seed = seed

    def draw(self, step: int, place: int = 0) -> ChunkMs:
        """Return the chunk size of a batch.

        Args:
            step: the step, from 0.
            place: which of the batches that its process accumulates, from 0.
        """
        # The first batch draws what a step of one batch draws.
        words = [self._seed, CHUNK, step, place] if place else [self._seed, CHUNK, step]
        rng = np.random.default_rng(words)
        return self.sizes[int(rng.choice(len(self.sizes), p=self._chances))]


def check_chunks(sizes: Sequence[ChunkMs], config: StreamingWavLMConfig, where: str = "chunks") -> None:
    """Refuse chunk sizes that cannot be had.

    Args:
        sizes: milliseconds, or ``"whole"``.
        config: of the student.
        where: what gives them, the start of the message.

    Raises:
        ConfigError: a size is no multiple of the hop, or is given twice.
    """
    if len(set(sizes)) < len(sizes):
        raise ConfigError(f"{where}: every size can be given once, got {list(sizes)}")
    for ms in sizes:
        if ms != "whole":
            try:
                config.replace(chunk_ms=ms)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error


def chunk_in_ms(chunk: ChunkMs, samples: int, config: StreamingWavLMConfig) -> int:
    """Return a chunk size in milliseconds.

    Args:
        chunk: milliseconds, or ``"whole"``.
        samples: length of the longest recording, which ``"whole"`` is to hold.
        config: of the student.
    """
    if chunk != "whole":
        return chunk
    hop_ms = config.hop * 1000 // SAMPLE_RATE
    return hop_ms * max(1, config.num_frames(samples))
