"""A picture of a comparison: the error by layer, by the future a frame sees, and by what it has heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pictures import FAINT, GRID, INK, new_figure, save
from .compare_result import ChunkResult, Comparison, Place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOSE = 0.6
_DOTS = 24


def draw_comparison(path: Path, found: Comparison, student: str, teacher: str) -> None:
    """Draw a comparison.

    Args:
        path: the PNG to write; its folder is made if missing.
        found: what was found.
        student: what the student is called.
        teacher: what the teacher is called.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = new_figure(12.5, 6.6)
    from matplotlib import colormaps  # there, or no figure would be

    figure.suptitle(
        f"{student}  beside  {teacher}", fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left"
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1.0])
    sized = sum(item.chunk != "whole" for item in found.chunks)
    shades = iter(colormaps["viridis"](0.85 * k / max(1, sized - 1)) for k in range(sized))
    colours = [INK if item.chunk == "whole" else next(shades) for item in found.chunks]
    depth = figure.add_subplot(grid[:, 0])
    _draw_depth(depth, found, colours)
    _draw_future(figure.add_subplot(grid[0, 1]), found, colours)
    _draw_time(figure.add_subplot(grid[1, 1]), found, colours)
    figure.supxlabel(_how(found), fontsize=8.5, color=FAINT, x=0.01, ha="left", linespacing=1.4)
    save(figure, path, dpi=110)


def _draw_depth(axes: Axes, found: Comparison, colours: Sequence[Any]) -> None:
    places = range(len(found.pairs))
    for item, colour in zip(found.chunks, colours, strict=True):
        _line(axes, places, item.errors, colour, _name(item))
    axes.set_xticks(list(places), [str(pair) for pair in found.pairs])
    same = all(pair.student == pair.teacher for pair in found.pairs)
    _dress(axes, "In depth", "layer" if same else "layer of the student : layer of the teacher")
    axes.legend(frameon=False, fontsize=9, title="chunk", title_fontsize=9)


def _draw_future(axes: Axes, found: Comparison, colours: Sequence[Any]) -> None:
    for item, colour in zip(found.chunks, colours, strict=True):
        if item.by_future:
            seen = [place.start for place in item.by_future]
            _line(axes, seen, [place.error for place in item.by_future], colour)
        else:
            axes.axhline(item.error, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
    _dress(axes, "In time: by the future that a frame sees", "ms to the end of its view (0: it sees none)")


def _draw_time(axes: Axes, found: Comparison, colours: Sequence[Any]) -> None:
    for item, colour in zip(found.chunks, colours, strict=True):
        middles = [_middle(place) for place in item.by_time]
        _line(axes, middles, [place.error for place in item.by_time], colour)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    _dress(axes, "In time: by what a frame has heard", "seconds since the beginning of the recording")


def _line(axes: Axes, places: Sequence[float], errors: Sequence[float], colour: Any, name: str = "") -> None:
    marker = "o" if len(places) <= _DOTS else ""
    axes.plot(
        places, errors, color=colour, marker=marker, markersize=4, linewidth=1.8, label=name, clip_on=False
    )


def _middle(place: Place) -> float:
    if place.start == 0:
        return place.end / math.sqrt(2)
    return place.start * math.sqrt(2)


def _dress(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.set_xlabel(label, fontsize=9, color=FAINT)
    axes.set_ylabel("error", fontsize=9, color=FAINT)
    lowest, highest = axes.dataLim.y0, axes.dataLim.y1
    if lowest < _CLOSE * highest:  # lines that lie close together high up get the whole height
        axes.set_ylim(bottom=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=FAINT, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _name(item: ChunkResult) -> str:
    return "whole recording" if item.chunk == "whole" else f"{item.chunk} ms"


def _how(found: Comparison) -> str:
    through = "frame beside frame"
    if found.through == "map":
        through = "behind a linear map for each layer and chunk size, fitted on other recordings"
    return (
        f"error: distance from the teacher's frames relative to how much these vary; 0 is exact, 1 says no "
        f"more than their mean.\n{found.recordings} recordings, {found.seconds:.0f} s, {through}."
    )
