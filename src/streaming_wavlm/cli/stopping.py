"""Ctrl-C and SIGTERM as a wish that a loop looks at."""

from __future__ import annotations

import signal
from typing import Any, Self


class Stopping:
    """Counts the wishes to stop; a context manager, for the main thread.

    The first asks for a clean end, the second for a quick one, and the third is not asked for any more: it
    raises ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self.wishes = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._wish)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _wish(self, *_: object) -> None:
        self.wishes += 1
        if self.wishes > 2:
            raise KeyboardInterrupt
