"""How far a run is: a bar where somebody watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ..terminal import rich_bar

_LINE_SECONDS = 15.0
_HOUR = 3600.0


class Progress:
    """Shows how far a run is, on standard error.

    Args:
        title: of the run.
        steps: steps in all.
        done: steps done before.
        shown: whether to show anything; only one of several processes does.
    """

    def __init__(self, title: str, steps: int, done: int = 0, shown: bool = True) -> None:
        self._title, self._steps, self._first = title, steps, done
        self._shown = shown
        self._bar: Any = None
        self._task: Any = None
        self._began = self._last_line = time.monotonic()
        self._audio = 0.0

    def __enter__(self) -> Self:
        if self._shown and sys.stderr.isatty():
            self._bar = rich_bar()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._steps, completed=self._first, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def speed(self) -> float:
        """Hours of audio per hour of the clock."""
        return self._audio / max(time.monotonic() - self._began, 1e-9)

    def advance(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Show that a step is done.

        Args:
            step: steps done.
            seconds: of audio, on all processes together.
            values: numbers to show.
        """
        self._audio += seconds
        if not self._shown:
            return
        now = time.monotonic()
        told = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        note = f"{told}, {self.speed:.0f} h/h"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, note=note)
        elif now - self._last_line >= _LINE_SECONDS or step in (self._first + 1, self._steps):
            self._last_line = now
            left = (now - self._began) / max(1, step - self._first) * (self._steps - step)
            sys.stderr.write(f"{self._title}: step {step} of {self._steps}, {note}, {duration(left)} left\n")

    def say(self, text: str) -> None:
        """Write a line."""
        if not self._shown:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            sys.stderr.write(f"{text}\n")


def duration(seconds: float) -> str:
    """Return a duration as people read it: ``2:05:09``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
