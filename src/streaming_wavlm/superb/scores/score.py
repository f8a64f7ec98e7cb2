"""A figure, what it is made of, and its bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.float64]


def drawn(units: Units, generator: np.random.Generator) -> Units:
    """Return as many units, drawn with replacement: another test set of the same kind.

    Args:
        units: ``[n, k]``, each by itself.
        generator: of the draws.
    """
    count = len(units)
    return units[generator.integers(0, count, count)]


@dataclass(frozen=True)
class Metric:
    """What a figure measures.

    Attributes:
        name: such as ``WER``.
        unit: such as ``%`` or ``dB``; empty for a bare number.
        higher_is_better: which way is good.
    """

    name: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True)
class Score:
    """A figure on a test split.

    Attributes:
        metric: what it measures.
        value: the figure, in the metric's unit; always ``combine(units)``.
        units: ``[n, k]``, a row per utterance, trial or recording; what the bootstrap draws from.
        combine: makes the figure of any choice of rows.
        draw: makes another test set of the units; by default they are drawn one by one.
    """

    metric: Metric
    value: float
    units: Units
    combine: Callable[[Units], float]
    draw: Callable[[Units, np.random.Generator], Units] = drawn

    @classmethod
    def of(
        cls,
        metric: Metric,
        units: Units,
        combine: Callable[[Units], float],
        draw: Callable[[Units, np.random.Generator], Units] = drawn,
    ) -> Score:
        """Return the figure that ``combine`` makes of all units."""
        return cls(metric, float(combine(units)), units, combine, draw)

    @property
    def bare(self) -> float:
        """The figure as a number without a unit: 0.75 for 75 %."""
        return self.value / 100 if self.metric.unit == "%" else self.value

    def interval(self, seed: int = 0, draws: int = 1000, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile bootstrap interval over the units.

        Args:
            seed: of the draws.
            draws: samples to take, each as large as the test split, with replacement.
            level: the share of the samples' figures that the interval holds.

        Returns:
            The lower and the upper end, in the metric's unit. Samples that give no figure, such as
            trials that are all of one kind, do not count; if none gives one, both ends are NaN.
        """
        generator = np.random.default_rng(seed)
        figures = [self.combine(self.draw(self.units, generator)) for _ in range(draws)]
        known = np.array([figure for figure in figures if np.isfinite(figure)])
        if not len(known):
            return float("nan"), float("nan")
        lower, upper = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return float(lower), float(upper)


def percentage(units: Units) -> float:
    """Return the sum of the first column as a percentage of the sum of the second."""
    total = units[:, 1].sum()
    return float(100 * units[:, 0].sum() / total) if total else float("nan")


def mean(units: Units) -> float:
    """Return the mean of the first column."""
    return float(units[:, 0].mean()) if len(units) else float("nan")


def mean_percent(units: Units) -> float:
    """Return the mean of the first column, a share, in percent."""
    return 100 * mean(units)
