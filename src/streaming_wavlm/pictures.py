"""What all pictures share: how they look, and how they get into their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MissingDependencyError
from .files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#222222", "#666666", "#e3e3e3"


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


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a picture, whole or not at all.

    Args:
        figure: the picture.
        path: the PNG to write; its folder is made if missing.
        dpi: pixels per inch.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")


def plain(axes: Axes) -> None:
    """Leave the lines out that say nothing."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=3)
