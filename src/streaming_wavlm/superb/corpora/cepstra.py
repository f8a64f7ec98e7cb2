"""Cepstra and their slopes, 100 frames per second: what the aligner hears."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ...config import SAMPLE_RATE
from .workshop import Wave

Features = npt.NDArray[np.float64]

FRAME = SAMPLE_RATE // 100
_WINDOW = SAMPLE_RATE // 40
_FFT = 512
_BANDS = 26
_CEPSTRA = 13
_LOWEST = 60.0


def cepstra(wave: Wave) -> Features:
    """Return 13 mel cepstra and their slopes for each whole 10 ms, ``[samples // 160, 26]``.

    Args:
        wave: 16 kHz ``[samples]``.
    """
    count = len(wave) // FRAME
    padded = np.pad(wave.astype(np.float64), (_WINDOW - FRAME) // 2)
    padded[1:] -= 0.97 * padded[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::FRAME][:count]
    power = np.abs(np.fft.rfft(frames * np.hamming(_WINDOW), _FFT)) ** 2
    basis, bands = _matrices()
    static = np.log(power @ bands + 1e-8) @ basis
    ahead = np.pad(static, ((2, 2), (0, 0)), mode="edge")
    slope = (ahead[3:-1] - ahead[1:-3] + 2 * (ahead[4:] - ahead[:-4])) / 10
    return np.concatenate([static, slope], axis=1)


@functools.cache
def _matrices() -> tuple[Features, Features]:
    """Return the cosine basis ``[bands, cepstra]`` and the mel filters ``[bins, bands]``."""
    places = (np.arange(_BANDS) + 0.5) / _BANDS
    basis = np.cos(np.pi * np.outer(places, np.arange(_CEPSTRA)))
    top = _mel(SAMPLE_RATE / 2)
    edges = np.linspace(_mel(_LOWEST), top, _BANDS + 2)
    bins = _mel(np.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return basis, np.clip(np.minimum(rising, falling), 0, None)


def _mel(hertz: npt.ArrayLike) -> Features:
    return 1127 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700)
