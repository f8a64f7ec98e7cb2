"""Statistics of the targets, measured before the first step where the objective needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from .objective import Objective
from .teachers.base import PositionalTargets, Targets
from .workshop import Workshop

STEPS = 32


def measure_targets(shop: Workshop, fabric: Any, steps: int = STEPS) -> None:
    """Show the objective the targets of the first steps, if it has to see some.

    Args:
        shop: what the run works with.
        fabric: processes and device.
        steps: how many steps' batches.
    """
    objective = shop.task.objective
    if not isinstance(objective, Objective) or not objective.needs_measuring:
        return

    def average(numbers: Tensor) -> Tensor:
        mean: Tensor = fabric.all_reduce(numbers, reduce_op="mean")
        return mean

    def gather(rows: Tensor) -> Tensor:
        gathered: Tensor = fabric.all_gather(rows)
        return gathered.flatten(0, 1)

    several = fabric.world_size > 1
    for targets in _taught(shop, fabric, steps):
        objective.measure(targets, average if several else None)
    if objective.needs_codebooks:
        for targets in _taught(shop, fabric, steps):
            objective.sample(targets, gather if several else None)
        objective.fit_codebooks()


def _taught(shop: Workshop, fabric: Any, steps: int) -> Iterator[Mapping[str, Targets]]:
    for step in range(steps):
        for batch in shop.loader.load(step):
            targets = shop.teachers.teach(batch.to(fabric.device))
            if not isinstance(targets, PositionalTargets):
                yield targets
