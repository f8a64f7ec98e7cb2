"""How a stream does: loudness, latency, speed."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..audio import Samples

_LATENCIES = 5000
_FLOOR_DB = -80.0
_PEAK_FALLS_DB_PER_SECOND = 12.0


class Statistics:
    """Counts what went through a stream.

    Args:
        sample_rate: of its audio.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples = 0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self.frames = 0
        self.level_db = _FLOOR_DB
        self.peak_db = _FLOOR_DB

    @property
    def seconds(self) -> float:
        """Audio that was taken, in seconds."""
        return self._samples / self._rate

    def hear(self, samples: Samples) -> None:
        """Take note of audio ``[samples]``."""
        if not len(samples):
            return
        self._samples += len(samples)
        self.level_db = _decibels(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))
        fallen = self.peak_db - _PEAK_FALLS_DB_PER_SECOND * len(samples) / self._rate
        self.peak_db = max(fallen, _decibels(float(np.abs(samples).max())))

    def chunk(self, frames: int, latency: float) -> None:
        """Take note of features."""
        self.frames += frames
        self._latencies.append(latency)

    def latency_ms(self, quantile: float) -> float:
        """Return how long the recent chunks took, in milliseconds; 0 if there was none."""
        return 1000 * float(np.quantile(self._latencies, quantile)) if self._latencies else 0.0

    def real_time_factor(self, busy: float) -> float:
        """Return seconds of computing per second of audio."""
        return busy / self.seconds if self._samples else 0.0

    def summary(self, busy: float, drops: int, dropped_seconds: float) -> str:
        """Return a line about the whole stream."""
        lost = f"{drops} drops ({dropped_seconds:.2f} s)" if drops else "no drops"
        latency = f"latency p50 {self.latency_ms(0.5):.0f} ms, p95 {self.latency_ms(0.95):.0f} ms"
        factor = f"real-time factor {self.real_time_factor(busy):.3f}"
        return f"{self.seconds:.2f} s of audio, {self.frames} frames; {latency}; {factor}; {lost}"


def _decibels(value: float) -> float:
    return max(_FLOOR_DB, 20 * float(np.log10(max(value, 1e-10))))
