"""What can go wrong while a student is being made."""

from __future__ import annotations

from streaming_wavlm.errors import StreamingWavLMError


class TrainingError(StreamingWavLMError):
    """Training cannot go on."""


class ResumeError(TrainingError):
    """The run in this folder cannot be continued as asked."""
