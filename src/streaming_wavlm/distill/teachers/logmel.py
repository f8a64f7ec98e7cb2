"""The log-mel spectrum as a teacher: it costs nothing, and keeps voice, pitch and loudness in the student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from ..geometry import FrameGeometry
from .base import Teacher, TeacherSpec
from .mel import MEL_HOP, N_FFT, mel_filters, power_spectrum

_WINDOWS = 2
_HOP = _WINDOWS * MEL_HOP
# Mean and spread of the logarithm over recorded speech: targets of mean 0 and variance 1, nearly.
_FLOOR, _MEAN, _SPREAD = 1e-6, -4.0, 1.6


class LogMelTeacher(Teacher):
    """Gives the log-mel spectrum of each 20 ms and of those that follow, side by side.

    A frame is two windows of 25 ms, the second ending where the frame's 20 ms end.

    Args:
        name: what the objective calls it.
        mels: bands.
        ahead: frames after the current one that a target holds too. They are not part of what the frame is
            said to hear: the student has to foretell them.
    """

    filters: Tensor

    def __init__(self, name: str = "logmel", mels: int = 40, ahead: int = 1) -> None:
        left = N_FFT - MEL_HOP
        geometry = FrameGeometry(-left, _HOP, left + _HOP)
        super().__init__(name, TeacherSpec(mels * _WINDOWS * (1 + ahead), 1, geometry), None)
        self.mels = mels
        self.ahead = ahead
        self.register_buffer("filters", mel_filters(mels))
        self.frozen()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return the spectra; a frame counts if all the audio of its target is there."""
        frames = (lengths // _HOP - self.ahead).clamp(min=0)
        total = -(-wavs.shape[1] // _HOP) + self.ahead
        padded = F.pad(wavs, (N_FFT - MEL_HOP, max(1, total) * _HOP - wavs.shape[1]))
        mel = (power_spectrum(padded) @ self.filters.to(padded.dtype) + _FLOOR).log10()
        scaled = (mel - _MEAN) / _SPREAD
        current = scaled.reshape(len(wavs), -1, _WINDOWS * self.mels)
        stacked = current.unfold(1, 1 + self.ahead, 1).transpose(2, 3).flatten(2)
        return [stacked], frames

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        return {**super().description(), "mels": self.mels, "ahead": self.ahead}
