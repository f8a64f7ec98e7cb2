"""The picture of the learned layer weights: a panel for each upstream, a row for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...pictures import FAINT, INK, new_figure, save
from .summary import Column, Summary
from .upstreams import twins
from .wording import TaskWords, latency

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 3
# As many layers still have room for their numbers.
_NUMBERED = 16


def draw(path: Path, summary: Summary, words: Mapping[str, TaskWords], title: str) -> bool:
    """Draw the weights of the layers, mean over the seeds; a model with two names once.

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
    again = twins({column.upstream.name: column.upstream for column in summary.columns})
    rows = {column: _rows(summary, column) for column in summary.columns if column.upstream.name not in again}
    columns = [column for column in rows if rows[column]]
    both = len({column.heads for column in columns}) > 1
    if both:  # the kinds of heads side by side
        order = [column.upstream for column in columns]
        columns.sort(key=lambda column: order.index(column.upstream))
    if not columns:
        return False
    layers = max(len(weights) for column in columns for weights in rows[column].values())
    most = 100 * max(max(weights) for column in columns for weights in rows[column].values())
    across = 2 if both else min(_ACROSS, len(columns))
    down = math.ceil(len(columns) / across)
    tasks = [task for task in summary.tasks if any(task in rows[column] for column in columns)]
    figure = new_figure(
        max(across * (0.34 * layers + 1.1), 5.5), max(down * (0.27 * len(tasks) + 0.95) + 0.8, 2.8)
    )
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    grid = figure.subplots(down, across, squeeze=False)
    image = None
    for place, axes in enumerate(grid.flat):
        if place >= len(columns):
            axes.axis("off")
            continue
        column = columns[place]
        table = np.full((len(tasks), layers), np.nan)
        names = [words[task].short for task in tasks] if place % across == 0 else [""] * len(tasks)
        for index, task in enumerate(tasks):
            weights = rows[column].get(task, ())
            table[index, : len(weights)] = 100 * np.asarray(weights)
        image = axes.imshow(table, cmap="cividis", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
        _write(axes, table, most)
        _label(axes, column, both, names, layers)
        if place + across >= len(columns):
            axes.set_xlabel("layer", fontsize=9, color=INK)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, location="right", shrink=0.7, aspect=30, pad=0.02)
        bar.set_label(f"weight [%] (even: {100 / layers:.3g})", fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=2)
        bar.outline.set_visible(False)
    save(figure, path)
    return True


def _rows(summary: Summary, column: Column) -> dict[str, tuple[float, ...]]:
    cells = ((task, summary.cells.get((task, column))) for task in summary.tasks)
    return {task: cell.layers for task, cell in cells if cell is not None and cell.layers}


def _write(axes: Axes, table: np.ndarray, most: float) -> None:
    """Write the numbers into the squares, dark on light and light on dark."""
    if table.shape[1] > _NUMBERED:
        return
    for (row, layer), weight in np.ndenumerate(table):
        if np.isfinite(weight):
            colour = "white" if weight < 0.55 * most else "black"
            axes.text(layer, row, f"{weight:.0f}", ha="center", va="center", fontsize=7, color=colour)


def _label(axes: Axes, column: Column, both: bool, tasks: list[str], layers: int) -> None:
    name = column.upstream.name + (f"\n{column.heads} heads" if both else "")
    wait = latency(column.upstream.latency_ms)
    axes.set_title(f"{name} ({wait})" if not both else f"{name}, {wait}", fontsize=9, color=INK)
    step = 1 if layers <= _NUMBERED else 4
    numbers = list(range(0, layers, step))
    axes.set_xticks(numbers, [str(number + 1) for number in numbers])
    axes.set_yticks(range(len(tasks)), tasks)
    axes.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
