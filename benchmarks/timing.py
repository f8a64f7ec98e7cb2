"""Timing by ratio: every candidate in turn, in rotated order, on the same inputs, in one run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """What one candidate took.

    Attributes:
        median: median of the rounds [s].
        low: first quartile [s].
        high: third quartile [s].
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{1000 * self.median:8.1f} ms [{1000 * self.low:.1f} … {1000 * self.high:.1f}]"


def interleaved(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time every candidate once per round, starting each round with another one.

    Args:
        candidates: name → what to run.
        rounds: how often; one more round comes first and is not counted.

    Returns:
        name → timing, in the order given.
    """
    names = list(candidates)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds + 1):
        shift = index % len(names)
        for name in names[shift:] + names[:shift]:
            begin = time.perf_counter()
            candidates[name]()
            if index:
                taken[name].append(time.perf_counter() - begin)
    return {name: _summary(values) for name, values in taken.items()}


def machine() -> str:
    """Describe the machine and how busy it is."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next(
                (line.split(":")[1].strip() for line in info if line.startswith("model name")), model
            )
    except OSError:
        pass
    load = f"load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "load unknown"
    return f"{model}, {os.cpu_count()} cores, {load}"


def _summary(values: list[float]) -> Timing:
    if len(values) < 2:
        return Timing(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4)
    return Timing(median, low, high)
