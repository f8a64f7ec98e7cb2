"""Medians, quartiles and rotated order: candidates take turns, so that a slow minute is everyone's."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """What was measured, in seconds or as ratios.

    Attributes:
        median: of all.
        low: first quartile.
        high: third quartile.
        count: how many there were.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def rounded(self, scale: float = 1.0) -> dict[str, float]:
        """Return it JSON-ready, the values times ``scale``."""
        return {
            name: value if name == "count" else round(scale * value, 3)
            for name, value in asdict(self).items()
        }


def rotated(items: Sequence[T], rounds: int) -> Iterator[T]:
    """Yield every item once a round, each round beginning with another."""
    for number in range(rounds):
        shift = number % len(items) if items else 0
        yield from (*items[shift:], *items[:shift])


def take_turns(turns: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every candidate once a round in rotated order.

    Args:
        turns: name → one turn, which returns what it measured.
        rounds: how often each has its turn.

    Returns:
        name → what each of its turns returned, in the order of the rounds.
    """
    found: dict[str, list[T]] = {name: [] for name in turns}
    for name in rotated(list(turns), rounds):
        found[name].append(turns[name]())
    return found


def joined(turns: Sequence[Sequence[float]]) -> list[float]:
    """Return the times of all turns as one list."""
    return [value for turn in turns for value in turn]


def ratios(above: Sequence[Sequence[float]], below: Sequence[Sequence[float]]) -> Spread:
    """Return how many times longer one candidate takes than another: the ratio of each round's medians.

    Args:
        above: the times of each of its turns.
        below: those of the other, in the same rounds.
    """
    pairs = zip(above, below, strict=True)
    return Spread.of([statistics.median(first) / statistics.median(second) for first, second in pairs])


def processor() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def load_average() -> float | None:
    """Return the machine's load over the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine() -> str:
    """Return the machine and how busy it is, in one line."""
    return f"{processor()}, {os.cpu_count()} cores, load {load_average()}"
