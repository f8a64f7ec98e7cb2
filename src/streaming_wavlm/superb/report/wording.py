"""How figures are written, in the table and in the pictures."""

from __future__ import annotations

from dataclasses import dataclass

from .summary import Mean

NOTHING = "–"


@dataclass(frozen=True)
class TaskWords:
    """What the report says of a task.

    Attributes:
        short: such as ``SID``.
        title: such as ``speaker identification``.
        causal: whether its published head is.
        causality: why, in a sentence.
    """

    short: str
    title: str
    causal: bool
    causality: str


def number(value: float | None) -> str:
    """Return a figure with as many digits as a table needs."""
    if value is None:
        return "not a number"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def latency(milliseconds: float | None) -> str:
    """Return a latency in words."""
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds / 1000:.4g} s" if milliseconds >= 1000 else f"{milliseconds:.4g} ms"


def metric_name(score: Mean) -> str:
    """Return a metric with its unit and the way it should go."""
    unit = f" [{score.unit}]" if score.unit else ""
    return f"{score.metric}{unit} {'↑' if score.higher_is_better else '↓'}"
