"""Part of an audio file as 16 kHz mono."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from streaming_wavlm.audio import Resampler
from streaming_wavlm.audio_file import AudioFile
from streaming_wavlm.config import SAMPLE_RATE
from streaming_wavlm.errors import AudioError

Wave = npt.NDArray[np.float32]


def read_segment(path: Path, start: int, samples: int) -> Wave:
    """Read part of an audio file, without decoding what comes before.

    Args:
        path: any format and rate that libsndfile reads; channels are averaged.
        start: the first sample to read, counted at 16 kHz.
        samples: how many to read, counted at 16 kHz.

    Returns:
        float32 ``[samples]``, fewer where the file ends before.

    Raises:
        AudioError: the file is missing or broken, ends before ``start``, or holds NaN.
    """
    try:
        with AudioFile(path) as file:
            rate = file.samplerate
            wave = file.part(start * rate // SAMPLE_RATE, -(-samples * rate // SAMPLE_RATE))
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"{path} cannot be read from {start / SAMPLE_RATE:.2f} s: {error}") from error
    return to_mono(wave, rate, str(path))[:samples]


def to_mono(wave: npt.NDArray[Any], rate: int, source: str) -> Wave:
    """Return audio as 16 kHz mono.

    Args:
        wave: float ``[samples, channels]``.
        rate: its samples per second.
        source: where it came from, for messages.

    Raises:
        AudioError: there is none, or some of it is NaN or infinite.
    """
    if not wave.size:
        raise AudioError(f"{source} holds no audio where it should")
    mono = wave.mean(axis=1, dtype=np.float32) if wave.shape[1] > 1 else wave[:, 0]
    if not np.isfinite(mono).all():
        raise AudioError(f"{source} holds NaN or infinite samples; repair the recording")
    if rate == SAMPLE_RATE:
        return np.ascontiguousarray(mono, dtype=np.float32)
    resampler = Resampler(rate)
    return np.concatenate([resampler.push(mono), resampler.finish()]).astype(np.float32, copy=False)
