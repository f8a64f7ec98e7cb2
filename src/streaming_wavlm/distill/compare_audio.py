"""The recordings of a comparison: their beginnings, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from ..audio import Samples, iter_audio
from ..config import SAMPLE_RATE
from ..errors import AudioError

_BLOCK_SECONDS = 10.0


class Beginnings(Sequence[Samples]):
    """The first seconds of audio files at 16 kHz, each read anew whenever it is asked for.

    Args:
        paths: any format and rate that libsndfile reads.
        seconds: used of each.
    """

    def __init__(self, paths: Sequence[Path], seconds: float) -> None:
        self.paths = tuple(paths)
        self._seconds = seconds

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Samples: ...

    @overload
    def __getitem__(self, index: slice) -> Beginnings: ...

    def __getitem__(self, index: int | slice) -> Samples | Beginnings:
        if isinstance(index, slice):
            return Beginnings(self.paths[index], self._seconds)
        return beginning(self.paths[index], self._seconds)

    def readable(self) -> tuple[Beginnings, tuple[str, ...]]:
        """Read everything once, and return those that can be read and why each of the others cannot."""
        kept, problems = [], []
        for path in self.paths:
            try:
                beginning(path, self._seconds)
            except AudioError as error:
                problems.append(str(error))
            else:
                kept.append(path)
        return Beginnings(kept, self._seconds), tuple(problems)


def beginning(path: Path, seconds: float) -> Samples:
    """Return the first seconds of an audio file at 16 kHz, float32 ``[samples]``; what follows is not read.

    Args:
        path: any format and rate that libsndfile reads; channels are averaged.
        seconds: how much; less where the file ends before.

    Raises:
        AudioError: the file, as far as it is read, cannot be.
    """
    wanted = round(seconds * SAMPLE_RATE)
    blocks: list[Samples] = []
    for block in iter_audio(path, min(seconds, _BLOCK_SECONDS)):
        blocks.append(block)
        if sum(map(len, blocks)) >= wanted:
            break
    samples: Samples = np.concatenate(blocks)[:wanted]
    return samples
