"""What a terminal shows while a stream runs."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .stream_colours import RunningComponents
from .stream_features import Chunk
from .stream_statistics import Statistics

if TYPE_CHECKING:
    from rich.text import Text

_REDRAWS_PER_SECOND = 8
_METER_WIDTH = 40
_METER_FLOOR_DB, _METER_HOT_DB, _METER_WARM_DB = -60.0, -3.0, -12.0
_STRIP_ROWS = 3
_EMPTY = (48, 48, 48)


class Display:
    """A level meter, numbers and a strip of colours; a context manager.

    Args:
        console: rich's.
        title: what is going on.
        statistics: of the stream.
    """

    def __init__(self, console: Any, title: str, statistics: Statistics) -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._title = title
        self._statistics = statistics
        self._components = RunningComponents()
        self._colours: deque[tuple[int, int, int]] = deque(maxlen=1000)
        self._drawn = 0.0
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def chunk(self, chunk: Chunk) -> None:
        """Add a chunk to the strip: the last of its layers."""
        for red, green, blue in self._components.colours(chunk.array[-1]).tolist():
            self._colours.append((red, green, blue))
        self._said |= {said["name"]: words(said) for said in chunk.said}

    def update(self, busy: float, drops: int, dropped_seconds: float, *, now: bool = False) -> None:
        """Draw, unless it was drawn a moment ago.

        Args:
            busy: seconds of computing so far.
            drops: packets lost.
            dropped_seconds: audio lost.
            now: draw in any case.
        """
        at = time.monotonic()
        if now or at - self._drawn >= 1 / _REDRAWS_PER_SECOND:
            self._drawn = at
            self._live.update(self._picture(busy, drops, dropped_seconds), refresh=True)

    def _picture(self, busy: float, drops: int, dropped_seconds: float) -> Text:
        from rich.text import Text

        told = self._statistics
        minutes, seconds = divmod(told.seconds, 60)
        factor = told.real_time_factor(busy)
        picture = Text(no_wrap=True, overflow="crop")
        picture.append(f"{self._title}\n", "bold")
        picture.append("level    ", "dim")
        picture.append_text(meter(told.level_db, told.peak_db))
        picture.append(f" {told.level_db:4.0f} dB\n")
        picture.append("latency  ", "dim")
        picture.append(f"p50 {told.latency_ms(0.5):.0f} ms · p95 {told.latency_ms(0.95):.0f} ms")
        picture.append("   real-time factor ", "dim")
        picture.append(f"{factor:.3f}", "bold red" if factor > 1 else "")
        picture.append("   dropped ", "dim")
        picture.append(f"{drops} ({dropped_seconds:.1f} s)" if drops else "0", "bold red" if drops else "")
        picture.append("   audio ", "dim")
        picture.append(f"{minutes:.0f}:{seconds:04.1f}\n")
        for name, said in self._said.items():
            picture.append(f"{name:8.20} ", "dim")
            picture.append(f"{said}\n", "bold")
        picture.append_text(strip(list(self._colours), self._console.width))
        return picture


def words(said: Mapping[str, Any]) -> str:
    """Return what a head says of a chunk in a few words."""
    if said["kind"] == "pooled":
        return ", ".join(f"{one['label']} {one['scores'][one['label']]:.0%}" for one in said["slots"])
    if said["kind"] == "frames":
        return " ".join(label for label, _ in itertools.groupby(said["labels"]))
    return ", ".join(f"{who} {shares[-1]:.0%}" for who, shares in said["scores"].items())


def meter(level_db: float, peak_db: float) -> Text:
    """Return a bar for a level, with a mark at the recent peak."""
    from rich.text import Text

    bar = Text()
    lit, peak = _place(level_db), min(_place(peak_db), _METER_WIDTH - 1)
    for place in range(_METER_WIDTH):
        here = _METER_FLOOR_DB * (1 - (place + 1) / _METER_WIDTH)
        colour = "red" if here > _METER_HOT_DB else "yellow" if here > _METER_WARM_DB else "green"
        if place < lit:
            bar.append("█", colour)
        else:
            bar.append("│" if place == peak else "·", colour if place == peak else "dim")
    return bar


def strip(colours: Sequence[tuple[int, int, int]], width: int) -> Text:
    """Return the last colours as a strip, two frames in each character, the newest on the right."""
    from rich.text import Text

    shown = list(colours[-2 * width :])
    shown = [_EMPTY] * (2 * width - len(shown)) + shown
    row = Text(no_wrap=True, overflow="crop")
    for (r, g, b), (r2, g2, b2) in zip(shown[::2], shown[1::2], strict=True):
        row.append("▌", f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
    return Text("\n").join([row] * _STRIP_ROWS)


def _place(decibels: float) -> int:
    share = 1 - decibels / _METER_FLOOR_DB
    return max(0, min(_METER_WIDTH, round(share * _METER_WIDTH)))
