"""Beginning with all that another run has learnt."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import ConfigError
from .recipe import CHECKPOINTS
from .resume import CheckpointStore
from .task import DistillTask


def inherit(task: DistillTask, run: Path) -> None:
    """Take up the student, the heads and the statistics of a run's last checkpoint.

    New heads would lead the student astray until they have learnt what the old ones knew. Optimiser, schedule
    and data are the new run's own.

    Args:
        task: changed in place, where its weights lie.
        run: the folder of the other run.

    Raises:
        ConfigError: the folder holds no checkpoint, or that run was asked for something else.
        ResumeError: its checkpoints are damaged.
    """
    store = CheckpointStore(run / CHECKPOINTS, keep=1)
    step = store.latest(tidy=False)
    if step is None:
        raise ConfigError(
            f"student.source {run} holds no checkpoints of a run; to begin with a student alone, use "
            "student.init checkpoint"
        )
    learnt = store.load(step, torch.device("cpu"))["task"]
    try:
        task.load_state_dict(learnt)
    except RuntimeError as error:
        raise ConfigError(
            f"the run in {run} had another objective or student, so its heads do not fit; use its pairs, or "
            f"student.init checkpoint, which begins with new heads: {error}"
        ) from error
