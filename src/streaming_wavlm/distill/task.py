"""One forward pass of training, as one module: what DDP watches must be called through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ..data import Batch
from ..model import StreamingWavLM
from .objective import Objective
from .positional import PositionalObjective
from .recipe import SELF
from .target_norm import Average
from .teachers import Teacher
from .teachers.base import PositionalTargets, Targets
from .teachers.reference import targets_of


class Lesson:
    """A batch, what the teachers say about it, and the chunk size it is heard at.

    A plain class: Fabric goes through the fields of dataclasses, to cast and to copy.

    Attributes:
        batch: the audio.
        targets: of each teacher by its name, or of the positional stage.
        chunk_ms: chunk size in milliseconds.
        average: maps this batch's counts of frames to those of all batches of the step.
    """

    def __init__(
        self,
        batch: Batch,
        targets: Mapping[str, Targets] | PositionalTargets,
        chunk_ms: int,
        average: Average | None = None,
    ) -> None:
        self.batch = batch
        self.targets = targets
        self.chunk_ms = chunk_ms
        self.average = average


class DistillTask(nn.Module):
    """The student and the objective with its heads.

    Args:
        student: the student.
        objective: what it is asked.
    """

    def __init__(self, student: StreamingWavLM, objective: Objective | PositionalObjective) -> None:
        super().__init__()
        self.student = student
        self.objective = objective

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the losses, in the order of :meth:`forward`."""
        if isinstance(self.objective, PositionalObjective):
            return (f"{self.objective.config.teacher}/positional/{self.objective.config.loss}",)
        return tuple(pair.name for pair in self.objective.pairs)

    def forward(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Return the loss, and each of its parts without gradient, ``[parts]``."""
        batch = lesson.batch
        if isinstance(self.objective, PositionalObjective):
            assert isinstance(lesson.targets, PositionalTargets)  # noqa: S101  (taught by teach())
            report = self.objective(self.student, lesson.targets, lesson.average)
        else:
            output = self.student(batch.wavs, batch.lengths, lesson.chunk_ms)
            report = self.objective(output, lesson.targets, lesson.average)
        return report.total, torch.stack([report.parts[name].float() for name in self.part_names])


@dataclass(frozen=True)
class Teachers:
    """All teachers of a run.

    Attributes:
        models: by name.
        student: teaches itself, hearing the whole recording, where the objective asks the teacher ``"self"``.
        self_layers: the layers that are asked of it.
        positional: the teacher of the positional stage.
    """

    models: Mapping[str, Teacher]
    student: StreamingWavLM
    self_layers: tuple[int, ...] = ()
    positional: str | None = None

    @cached_property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """What tells each teacher from another: name → digest of all that decides its targets, and type.

        The type is that of its weights, for in another one the digest is another too.
        """
        return {
            name: {"digest": model.fingerprint(), "dtype": model.weight_type()}
            for name, model in self.models.items()
        }

    def teach(self, batch: Batch) -> dict[str, Targets] | PositionalTargets:
        """Return what the teachers say about a batch, each computed once."""
        wavs, lengths = batch.taught, batch.lengths
        if self.positional is not None:
            return self.models[self.positional].positional(wavs, lengths)
        targets = {name: model(wavs, lengths) for name, model in self.models.items()}
        if self.self_layers:
            learning = self.student.training
            self.student.eval()  # targets that dropout has been at are noise
            try:
                with torch.no_grad():
                    targets[SELF] = targets_of(self.student, wavs, lengths, self.self_layers)
            finally:
                self.student.train(learning)
        return targets
