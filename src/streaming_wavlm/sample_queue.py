"""A queue of audio samples."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .audio import Samples


class SampleQueue:
    """Samples that wait for a chunk to be complete: a queue of packets, never joined as a whole.

    Args:
        dtype: of the samples.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._packets: deque[Samples] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, samples: Samples) -> None:
        """Add a packet ``[samples]`` at the end; it must not be changed afterwards."""
        if len(samples):
            self._packets.append(samples)
            self._length += len(samples)

    def peek(self, count: int) -> Samples:
        """Return a copy of the first ``count`` samples, which must be there."""
        first = np.empty(count, dtype=self._dtype)
        filled = 0
        for packet in self._packets:
            part = packet[: count - filled]
            first[filled : filled + len(part)] = part
            filled += len(part)
            if filled == count:
                break
        return first

    def drop(self, count: int) -> None:
        """Remove the first ``count`` samples, which must be there."""
        self._length -= count
        while count:
            packet = self._packets.popleft()
            if len(packet) > count:
                self._packets.appendleft(packet[count:])
                return
            count -= len(packet)

    def clear(self) -> None:
        """Remove everything."""
        self._packets.clear()
        self._length = 0

    def copy(self) -> SampleQueue:
        """Return a queue of the same samples, which are shared and not copied."""
        twin = SampleQueue(self._dtype)
        twin._packets = self._packets.copy()
        twin._length = self._length
        return twin
