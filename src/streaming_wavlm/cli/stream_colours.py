"""Features as colours: their principal components so far, three of them, as red, green and blue."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Kept beside the three that are shown, so that one that grows can take its place among them.
_KEPT = 8
_SHOWN = 3
# Frames after which what was seen counts half: ten seconds.
_HALF_LIFE = 500
# The largest component drawn at full colour, in standard deviations.
_SPAN = 2.0


class RunningComponents:
    """Principal components of all frames so far, the recent ones counting more.

    The directions so far, each as long as the variance it explains, stand in for the frames that are gone:
    joined with the new frames, their singular vectors are the directions from now on.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._mean: Array
        self._axes: Array
        self._lengths: Array

    def colours(self, frames: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Take frames ``[frames, dim]`` and return a colour for each, ``[frames, 3]`` from 0 to 255."""
        new = np.asarray(frames, dtype=np.float32)
        self._learn(new)
        scale = np.maximum(self._lengths[:_SHOWN] / np.sqrt(self._weight), 1e-8)
        parts = (new - self._mean) @ self._axes[:_SHOWN].T / scale
        colours = np.full((len(new), 3), 0.5, dtype=np.float32)
        colours[:, : parts.shape[1]] += parts / (2 * _SPAN)
        return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)

    def _learn(self, new: Array) -> None:
        count = len(new)
        mean = new.mean(axis=0)
        if not self._weight:
            self._weight, self._mean = float(count), mean
            before = np.zeros((0, new.shape[1]), np.float32)
            rows = new - mean
        else:
            old = self._weight * 0.5 ** (count / _HALF_LIFE)
            faded = self._lengths * np.sqrt(old / self._weight)
            before = self._axes
            # The means differ: that is variance, too.
            shift = np.sqrt(old * count / (old + count)) * (mean - self._mean)
            rows = np.concatenate([faded[:, None] * self._axes, new - mean, shift[None]])
            self._weight = old + count
            self._mean = self._mean + (mean - self._mean) * (count / self._weight)
        _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
        self._lengths, self._axes = lengths[:_KEPT], axes[:_KEPT]
        # A direction and its opposite are the same component; colours must not jump between them.
        both = min(len(before), len(self._axes))
        turned = np.sum(before[:both] * self._axes[:both], axis=1) < 0
        self._axes[:both][turned] *= -1
