"""Statistics of the targets, measured before the first step where the objective needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from .objective import Objective
from .teachers.base import PositionalTargets, Targets
from .workshop import Workshop

STEPS = 32
# Principal components of what there is once per recording take many recordings.
COMPONENTS_STEPS = 160


def measure_targets(shop: Workshop, fabric: Any, steps: int | None = None) -> None:
    """Show the objective the targets of the first steps, if it has to see some.

    Args:
        shop: what the run works with.
        fabric: processes and device.
        steps: how many steps' batches; ``None`` takes as many as the statistics need.
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
    needed = COMPONENTS_STEPS if objective.needs_components else STEPS
    for targets in _taught(shop, fabric, steps or needed):
        objective.measure(targets, average if several else None)
    objective.fit_norms()
    if objective.needs_codebooks:
        for targets in _taught(shop, fabric, steps or STEPS):
            objective.sample(targets, gather if several else None)
        objective.fit_codebooks()


def _taught(shop: Workshop, fabric: Any, steps: int) -> Iterator[Mapping[str, Targets]]:
    for step in range(steps):
        for batch in shop.loader.load(step):
            targets = shop.teachers.teach(batch.to(fabric.device))
            if not isinstance(targets, PositionalTargets):
                yield targets
