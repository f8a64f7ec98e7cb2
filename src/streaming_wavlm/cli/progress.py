"""A progress bar: rich's where it is installed and somebody watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from ..terminal import rich_bar

_PLAIN_SECONDS = 10.0


class Bar:
    """Progress on standard error.

    Args:
        title: what is going on.
        shown: whether to show anything.
        elapsed: whether the bar says how long it has been, in place of how long it will be.
    """

    def __init__(self, title: str, shown: bool = True, elapsed: bool = False) -> None:
        self._title = title
        self._shown = shown
        self._elapsed = elapsed
        self._rich: Any = None
        self._task: Any = None
        self._next_line = time.monotonic() + _PLAIN_SECONDS

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            self._rich = rich_bar(self._elapsed)
        if self._rich is not None:
            self._rich.start()
            self._task = self._rich.add_task(self._title, total=None, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show how far it is.

        Args:
            done: items done.
            total: items in all.
            note: what else to say.
        """
        if self._rich is not None:
            self._rich.update(self._task, completed=done, total=total, note=note)
        elif self._shown:
            self._plain(done, total, note)

    def _plain(self, done: int, total: int, note: str) -> None:
        """Say how far it is where there is no bar."""
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_SECONDS
            sys.stderr.write(f"{self._title}: {done} of {total}, {note}\n")
