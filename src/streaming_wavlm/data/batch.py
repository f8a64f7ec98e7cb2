"""A batch of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streaming_wavlm.config import SAMPLE_RATE

from .decode import Wave


@dataclass(frozen=True)
class Batch:
    """What a process learns from at once.

    Attributes:
        wavs: 16 kHz audio ``[batch, samples]``, zero past the end of a row; at least one row,
            unless it is to measure on and nothing of it can be read.
        lengths: samples of each row, int64 ``[batch]``.
        names: what the rows are.
        bad: why each recording that is missing could not be read.
        clean: the same audio before it was corrupted, where the teachers are to hear that.
    """

    wavs: Tensor
    lengths: Tensor
    names: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    clean: Tensor | None = None

    @property
    def taught(self) -> Tensor:
        """What the teachers hear, ``[batch, samples]``."""
        return self.wavs if self.clean is None else self.clean

    @property
    def seconds(self) -> float:
        """Seconds of audio, padding not counted."""
        return float(self.lengths.sum()) / SAMPLE_RATE

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        wavs, lengths = (tensor.to(device, non_blocking=True) for tensor in (self.wavs, self.lengths))
        clean = None if self.clean is None else self.clean.to(device, non_blocking=True)
        return Batch(wavs, lengths, self.names, self.bad, clean)


def padded(waves: Sequence[Wave]) -> tuple[Wave, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return recordings as one array ``[batch, samples]``, zero past their ends, and their lengths."""
    lengths = np.array([len(wave) for wave in waves], dtype=np.int64)
    wavs = np.zeros((len(waves), int(lengths.max(initial=0))), dtype=np.float32)
    for row, wave in zip(wavs, waves, strict=True):
        row[: len(wave)] = wave
    return wavs, lengths
