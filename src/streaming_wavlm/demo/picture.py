"""A picture of streamed features: the sound, every layer at every chunk size, and what chunks cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..audio import Samples
from ..config import SAMPLE_RATE
from ..pictures import FAINT, INK, new_figure, save
from .streaming import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float32]

_FRAMES_PER_SECOND = 50
_SOUND = "#31688e"
_HOW_TO_READ = """\
How to read it. A row is a chunk size, a square a layer:
the colour at (x, y) says how alike the features are at
two moments of the recording (cosine, their mean over
time removed). Red blocks on the diagonal are steady
sounds, red spots off it are like sounds again.
On the right, layer by layer: how far the features are
from those with chunks of 10 s, relative to their size."""


def draw(
    path: Path, wav: Samples, measurements: Sequence[Measurement], title: str, seconds: float = 6.0
) -> None:
    """Draw the beginning of a recording and of its streamed features.

    Args:
        path: the PNG to write.
        wav: 16 kHz mono ``[samples]``.
        measurements: of that recording, the largest chunk last.
        title: what the picture shows.
        seconds: how much of the recording to show.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    frames = min(round(seconds * _FRAMES_PER_SECOND), measurements[0].features.shape[1])
    shown = [item.features[:, :frames] for item in measurements]
    layers, rows = len(shown[0]), len(shown)
    figure = new_figure(2.2 + 1.55 * layers + 3.6, 2.7 + 1.6 * rows)
    figure.suptitle(title, fontsize=15, fontweight="bold", color=INK)
    grid = figure.add_gridspec(
        rows + 1, layers + 1, width_ratios=[1.0] * layers + [2.2], height_ratios=[0.9] + [1.0] * rows
    )
    _draw_waveform(figure.add_subplot(grid[0, :layers]), wav[: frames * SAMPLE_RATE // _FRAMES_PER_SECOND])
    text = figure.add_subplot(grid[0, layers])
    text.axis("off")
    text.text(0, 1, _HOW_TO_READ, fontsize=8.5, color=INK, va="top", linespacing=1.35)
    distances = [distance(features, shown[-1]) for features in shown]
    most = max(float(values.max()) for values in distances) or 1.0
    similarities = [[self_similarity(layer) for layer in features] for features in shown]
    # The colours span what occurs, the diagonal apart, where every frame meets itself.
    span = max(
        float(np.quantile(np.abs(_off_diagonal(layer)), 0.995)) for row in similarities for layer in row
    )
    squares: list[Axes] = []
    strips: list[Axes] = []
    for row, item in enumerate(measurements, start=1):
        for layer in range(layers):
            axes = figure.add_subplot(grid[row, layer])
            similarity = axes.imshow(
                similarities[row - 1][layer], cmap="RdBu_r", vmin=-span, vmax=span, aspect="auto"
            )
            _plain(axes)
            if row == 1:
                axes.set_title(f"layer {layer + 1}", fontsize=10, color=INK)
            if layer == 0:
                axes.set_ylabel(_words(item), fontsize=10, color=INK)
            squares.append(axes)
        axes = figure.add_subplot(grid[row, layers])
        far = axes.imshow(
            distances[row - 1], cmap="viridis", vmin=0, vmax=most, aspect="auto", interpolation="nearest",
            extent=(0, frames / _FRAMES_PER_SECOND, layers + 0.5, 0.5),
        )  # fmt: skip
        axes.set_yticks([1, layers])
        axes.tick_params(labelsize=8, colors=FAINT, length=2, labelbottom=row == rows)
        axes.set_ylabel("layer", fontsize=8, color=FAINT)
        if row == 1:
            axes.set_title("distance from the features with 10 s chunks", fontsize=10, color=INK)
        if row == rows:
            axes.set_xlabel("seconds", fontsize=9, color=FAINT)
        strips.append(axes)
    _colour_bar(figure, similarity, squares, "similarity")
    _colour_bar(figure, far, strips, "relative distance")
    save(figure, path, dpi=100)


def self_similarity(features: Array) -> Array:
    """Return the cosine of every two frames, ``[frames, frames]``, of one layer ``[frames, dim]``.

    The mean over time is removed first: what all frames share says nothing about when is like when.
    """
    centred = features - features.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-8)
    similarity: Array = unit @ unit.T
    return similarity


def _off_diagonal(similarity: Array) -> Array:
    near = 5  # frames; neighbours hear almost the same samples
    return similarity[np.triu_indices(len(similarity), min(near, len(similarity) - 1))]


def distance(features: Array, reference: Array) -> Array:
    """Return how far each frame is from the reference's, ``[layers, frames]``, relative to its size."""
    size = np.linalg.norm(reference - reference.mean(axis=1, keepdims=True), axis=2).mean(
        axis=1, keepdims=True
    )
    far: Array = np.linalg.norm(features - reference, axis=2) / np.maximum(size, 1e-8)
    return far


def _draw_waveform(axes: Axes, wav: Samples) -> None:
    time = np.arange(len(wav)) / SAMPLE_RATE
    axes.plot(time, wav, color=_SOUND, linewidth=0.4)
    axes.set_xlim(0, len(wav) / SAMPLE_RATE)
    peak = 1.05 * float(np.abs(wav).max()) or 1.0
    axes.set_ylim(-peak, peak)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    axes.set_xlabel("seconds", fontsize=9, color=FAINT)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def _words(item: Measurement) -> str:
    latency = f"{item.latency_ms / 1000:g} s" if item.latency_ms >= 10_000 else f"{item.latency_ms:g} ms"
    return f"{item.name}\nlatency {latency}"


def _plain(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _colour_bar(figure: Figure, image: Any, axes: list[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.35, aspect=40, pad=0.01)
    bar.set_label(label, fontsize=9, color=FAINT)
    bar.ax.tick_params(labelsize=8, colors=FAINT, length=2)
    bar.outline.set_visible(False)
