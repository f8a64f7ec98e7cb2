"""What the two pictures share: how they look, and how they get into their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MissingDependencyError
from ...files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#222222", "#666666", "#e3e3e3"
# Told apart by readers of every colour vision (M. Okabe and K. Ito), and in grey by their marks.
BLUE, ORANGE = "#0072b2", "#d55e00"
BASELINES = ("#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingDependencyError(
            'drawing needs matplotlib: pip install "streaming-wavlm[plot]"'
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07)
    return Figure(figsize=(width, height), facecolor="white", layout=layout)


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def plain(axes: Axes) -> None:
    """Leave the lines out that say nothing."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=3)
