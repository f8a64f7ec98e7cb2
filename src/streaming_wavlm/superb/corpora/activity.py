"""Where in a recording somebody speaks, by its energy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...config import SAMPLE_RATE
from .workshop import Wave

_FRAME = SAMPLE_RATE // 100
# Speech is what is within this many dB of the loud parts; pauses below it are kept when they are short.
_RANGE_DB = 30.0
_LOUD_PERCENTILE = 95
_SHORTEST_PAUSE = 0.3
_SHORTEST_SPEECH = 0.2
_MARGIN = 0.05


def active_frames(wave: Wave) -> npt.NDArray[np.bool_]:
    """Return for each 10 ms of a recording whether it is within 30 dB of its loud parts, ``[frames]``."""
    count = max(1, len(wave) // _FRAME)
    frames = np.resize(wave, count * _FRAME).reshape(count, _FRAME).astype(np.float64)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    active: npt.NDArray[np.bool_] = level > np.percentile(level, _LOUD_PERCENTILE) - _RANGE_DB
    return active


def speech_pieces(wave: Wave) -> list[tuple[int, int]]:
    """Return the stretches of speech in a recording, in samples, in order.

    Pauses under 0.3 s belong to the speech around them, sounds under 0.2 s are none, and 50 ms are added to
    either side.

    Args:
        wave: 16 kHz ``[samples]``.
    """
    active = np.concatenate([[False], active_frames(wave), [False]])
    edges = np.flatnonzero(active[1:] != active[:-1]) * _FRAME
    joined: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and start - joined[-1][1] < _SHORTEST_PAUSE * SAMPLE_RATE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    margin = round(_MARGIN * SAMPLE_RATE)
    return [
        (max(0, start - margin), min(len(wave), end + margin))
        for start, end in joined
        if end - start >= _SHORTEST_SPEECH * SAMPLE_RATE
    ]
