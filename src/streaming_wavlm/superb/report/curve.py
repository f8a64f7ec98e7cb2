"""The picture of quality against latency: a panel for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...pictures import FAINT, GRID, INK, new_figure, plain, save
from .plan import Heads
from .summary import Column, Mean, Summary
from .wording import TaskWords, metric_name, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by readers of every colour vision (M. Okabe and K. Ito), and in grey by their marks.
_BLUE, _ORANGE = "#0072b2", "#d55e00"
_BASELINES = ("#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_ACROSS = 5
_STYLES: dict[Heads, tuple[str, str, str]] = {
    "published": (_BLUE, "o", "streaming, published heads"),
    "causal": (_ORANGE, "s", "streaming, causal heads"),
}
_DASHES = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 2)))
# Latencies worth a label on the axis [s].
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
# Kinds of heads stand so far apart at the same latency that their bars do not hide each other.
_DODGE = 1.05
# A score of guessing that would make the axis so many times longer is written down instead of drawn.
_STRETCH = 2.5


def draw(path: Path, summary: Summary, words: Mapping[str, TaskWords], title: str) -> bool:
    """Draw the first score of each task against the algorithmic latency of its upstream.

    Args:
        path: the PNG to write.
        summary: what was found.
        words: of each task.
        title: what the picture shows.

    Returns:
        False if there is nothing to draw; no file is written then.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    tasks = [task for task in summary.tasks if _points(summary, task)]
    if not tasks:
        return False
    down = math.ceil(len(tasks) / _ACROSS)
    across = math.ceil(len(tasks) / down)
    figure = new_figure(max(3.0 * across, 5.6), 2.6 * down + 1.2)
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    grid = figure.subplots(down, across, squeeze=False)
    shown: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(tasks):
            axes.axis("off")
            continue
        shown |= _panel(axes, summary, tasks[place], words[tasks[place]])
        if place + across >= len(tasks):
            axes.set_xlabel("algorithmic latency [s]", fontsize=9, color=INK)
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=min(len(shown), 4), fontsize=9,
        frameon=False, labelcolor=INK,
    )  # fmt: skip
    save(figure, path)
    return True


def _points(summary: Summary, task: str) -> list[tuple[Column, Mean]]:
    cells = ((column, summary.cells.get((task, column))) for column in summary.columns)
    return [
        (column, cell.scores[0])
        for column, cell in cells
        if cell is not None and cell.scores and cell.scores[0].value is not None
    ]


def _panel(axes: Axes, summary: Summary, task: str, told: TaskWords) -> dict[str, Any]:
    """Draw a task, and return what the legend has to explain."""
    points = _points(summary, task)
    shown: dict[str, Any] = {}
    both = len({column.heads for column in summary.columns}) > 1
    for heads, (colour, mark, label) in _STYLES.items():
        curve = [(ms, s) for c, s in points if c.heads == heads and (ms := summary.latency_ms(task, c))]
        if curve:
            shift = 1.0 if not both else (1 / _DODGE if heads == "published" else _DODGE)
            shown[label] = _curve(axes, curve, shift, colour, mark)
    latencies = [ms / 1000 for c in summary.columns if (ms := summary.latency_ms(task, c))]
    right = _time_axis(axes, latencies)
    others = [(c, s) for c, s in points if c.upstream.latency_ms is None]
    for column, score in others:
        place = [c for c in summary.columns if c.upstream.latency_ms is None].index(column)
        label = column.upstream.name + (f", {column.heads} heads" if both else "")
        shown[label] = _baseline(axes, score, place, right * 1.13**place)
    shown |= _guessing(axes, summary.guessing(task))
    causal = "causal head" if told.causal else "head not causal"
    axes.set_title(told.short, fontsize=11, fontweight="bold", color=INK, loc="left")
    axes.set_title(causal if not both or told.causal else "", fontsize=8, color=FAINT, loc="right")
    axes.set_ylabel(metric_name(points[0][1]), fontsize=9, color=INK)
    plain(axes)
    return shown


def _curve(axes: Axes, curve: Sequence[tuple[float, Mean]], shift: float, colour: str, mark: str) -> Any:
    ordered = sorted(curve, key=lambda point: point[0])
    seconds = [milliseconds / 1000 * shift for milliseconds, _ in ordered]
    values = [score.value or 0.0 for _, score in ordered]
    below = [_length(score.value, score.low) for _, score in ordered]
    above = [_length(score.high, score.value) for _, score in ordered]
    return axes.errorbar(
        seconds, values, yerr=(below, above), color=colour, marker=mark, markersize=4.5, linewidth=1.3,
        elinewidth=0.9, capsize=2.0, ecolor=colour, zorder=3,
    )  # fmt: skip


def _length(high: float | None, low: float | None) -> float:
    """Return the length of an error bar; none where an end is not known."""
    return max(high - low, 0.0) if high is not None and low is not None else 0.0


def _baseline(axes: Axes, score: Mean, place: int, second: float) -> Any:
    """Draw a score that has no latency as a line, with its interval at the right end."""
    colour, value = _BASELINES[place % len(_BASELINES)], score.value or 0.0
    ends = ([_length(value, score.low)], [_length(score.high, value)])
    axes.errorbar([second], [value], yerr=ends, color=colour, elinewidth=0.9, capsize=2.0, zorder=2)
    return axes.axhline(value, color=colour, linewidth=1.3, linestyle=_DASHES[place % len(_DASHES)], zorder=2)


def _guessing(axes: Axes, value: float | None) -> dict[str, Any]:
    if value is None:
        return {}
    low, high = axes.get_ylim()
    if max(high, value) - min(low, value) > _STRETCH * (high - low):
        axes.text(0.03, 0.03, f"guessing: {number(value)}", transform=axes.transAxes, fontsize=8, color=FAINT)
        return {}
    return {"guessing": axes.axhline(value, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)}


def _time_axis(axes: Axes, seconds: Sequence[float]) -> float:
    """Set up the axis, and return where there is room at its right end."""
    from matplotlib.ticker import NullLocator

    low, high = (min(seconds), max(seconds)) if seconds else (0.2, 10.0)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.3, high * 2)
    ticks = [tick for tick in _TICKS if low / 1.3 <= tick <= high * 1.3]
    if len(ticks) < 2:
        ticks = sorted({low, high})
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color=GRID, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    return high * 1.4
