"""How well the student agrees with its teachers, layer by layer and at each chunk size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..data import DataError, HeldOut
from ..metrics import Agreement, LayerAgreement
from .losses import INDIRECT
from .objective import Objective
from .positional import PositionalObjective
from .schedule import chunk_in_ms
from .settings import ChunkMs
from .task import DistillTask, Lesson, Teachers
from .teachers.base import PositionalTargets


@dataclass(frozen=True)
class Measurement:
    """What one validation found.

    Attributes:
        losses: the objective's value at each chunk size.
        agreement: of each pair of layers, at each chunk size.
        bad: recordings that could not be read, and so were not measured on.
    """

    losses: dict[str, float]
    agreement: dict[str, dict[str, Agreement]]
    bad: int = 0

    @property
    def score(self) -> float:
        """The mean loss over the chunk sizes: the lower the better."""
        return sum(self.losses.values()) / len(self.losses)

    def values(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {
            "score": self.score,
            "bad": self.bad,
            "chunks": {
                chunk: {
                    "loss": loss,
                    "pairs": {
                        name: {"cosine": found.cosine, "relative_error": found.relative_error}
                        for name, found in self.agreement[chunk].items()
                    },
                }
                for chunk, loss in self.losses.items()
            },
        }

    def curves(self) -> dict[str, float]:
        """Return everything as numbers by name, the chunk size last, so that sizes share a plot's group."""
        curves = {"validation/score": self.score, "validation/bad": float(self.bad)}
        for chunk, loss in self.losses.items():
            curves[f"validation/loss/{chunk}"] = loss
            for name, found in self.agreement[chunk].items():
                curves[f"cosine/{name}/{chunk}"] = found.cosine
                curves[f"relative_error/{name}/{chunk}"] = found.relative_error
        return curves


@torch.no_grad()
def validate(
    task: DistillTask, teachers: Teachers, held_out: HeldOut, chunks: Sequence[ChunkMs], fabric: Any
) -> Measurement:
    """Measure a student; every process its part, all get the result.

    Args:
        task: the student and its objective, not wrapped; left in training mode.
        teachers: the teachers.
        held_out: recordings it does not learn from.
        chunks: chunk sizes to measure at; the positional stage has none.
        fabric: the processes, the device and the precision.

    Raises:
        DataError: none of the recordings can be read, by no process.
    """
    names = [str(chunk) for chunk in chunks]
    agreement = {name: LayerAgreement() for name in names}
    sums = torch.zeros(len(names), 2, dtype=torch.float64)
    bad: list[str] = []
    task.eval()
    try:
        for loaded in held_out.load(fabric.global_rank, fabric.world_size):
            bad += loaded.bad
            if not len(loaded.lengths):
                continue
            batch = loaded.to(fabric.device)
            with fabric.autocast():
                targets = teachers.teach(batch)
                for index, (name, chunk) in enumerate(zip(names, chunks, strict=True)):
                    lesson = Lesson(
                        batch, targets, chunk_in_ms(chunk, batch.wavs.shape[1], task.student.config)
                    )
                    loss = _score(task, lesson, agreement[name])
                    sums[index] += torch.tensor([loss * batch.seconds, batch.seconds], dtype=torch.float64)
    finally:
        task.train()
    # All processes decide together: one that alone gave up would leave the others waiting.
    sums = _summed(sums, fabric)
    counts = _summed(torch.tensor([len(bad)], dtype=torch.float64), fabric)
    if not sums[:, 1].all():
        why = f", the last because: {bad[-1]}" if bad else ""
        raise DataError(
            f"none of the {int(counts[0])} recordings to measure on can be read{why}; repair them, or give "
            "others as data.dev"
        )
    for found in agreement.values():
        totals = found.totals()
        found.load_totals(
            {name: _summed(totals.get(name, torch.zeros(4)).double(), fabric) for name in _comparable(task)}
        )
    losses = {name: float(total / seconds) for name, (total, seconds) in zip(names, sums, strict=True)}
    return Measurement(losses, {name: found.result() for name, found in agreement.items()}, int(counts[0]))


def _score(task: DistillTask, lesson: Lesson, agreement: LayerAgreement) -> float:
    if not isinstance(task.objective, Objective):
        return float(task(lesson)[0])
    batch, targets = lesson.batch, lesson.targets
    assert not isinstance(targets, PositionalTargets)  # noqa: S101  (taught by teach())
    output = task.student(batch.wavs, batch.lengths, lesson.chunk_ms)
    comparable = set(_comparable(task))
    for item in task.objective.aligned(output, targets):
        if item.name in comparable:
            agreement.update(item.name, item.prediction, item.target, item.mask)
    return float(task.objective(output, targets).total)


def _comparable(task: DistillTask) -> list[str]:
    """The pairs whose predictions are like their targets: not the relations of "gram", nor "units"."""
    if isinstance(task.objective, PositionalObjective):
        return []
    return [pair.name for pair in task.objective.pairs if pair.loss not in INDIRECT]


def _summed(tensor: torch.Tensor, fabric: Any) -> torch.Tensor:
    if fabric.world_size == 1:
        return tensor
    # MPS has no float64; gloo and NCCL have.
    summed: torch.Tensor = fabric.all_reduce(tensor.to(fabric.device), reduce_op="sum")
    return summed.cpu()
