"""The learning rate, chosen by the dev split."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import SuperbError
from .records import JobRecord
from .training_log import scalars


@dataclass(frozen=True)
class DevScore:
    """What S3PRL keeps a task's best checkpoint by.

    Attributes:
        name: as it is logged.
        higher_is_better: which way is up.
    """

    name: str
    higher_is_better: bool = True


DEV_SCORES = {
    "asr": DevScore("wer", False),
    "phone_linear": DevScore("acc"),
    "voxceleb1": DevScore("acc"),
    "sv_voxceleb1": DevScore("EER", False),
    "diarization": DevScore("acc"),
    "emotion": DevScore("acc"),
    "fluent_commands": DevScore("acc"),
    "speech_commands": DevScore("acc"),
    "enhancement_stft": DevScore("pesq"),
    "separation_stft": DevScore("si_sdr"),
}


def dev_score(task: str, folder: Path) -> float:
    """Return the best score on the dev split during a training.

    Args:
        task: S3PRL's name.
        folder: of the experiment.

    Raises:
        SuperbError: the training was never scored on a dev split, or never with a number.
    """
    kind = _kind(task)
    curves = scalars(folder)
    wanted = re.compile(rf".*/dev\b.*-{re.escape(kind.name)}")
    values = [
        value
        for name, curve in curves.items()
        if wanted.fullmatch(name)
        for value in curve.values()
        if math.isfinite(value)
    ]
    if not values:
        raise SuperbError(
            f"{folder} has no score {kind.name} on a dev split, by which learning rates are compared; "
            f"the config's runner.eval_dataloaders must name one; it logged {', '.join(sorted(curves))}"
        )
    return max(values) if kind.higher_is_better else min(values)


def best(task: str, tried: Sequence[JobRecord]) -> JobRecord | None:
    """Return the job whose learning rate does best on the dev split; the lower rate among equals.

    Args:
        task: S3PRL's name.
        tried: the jobs of a search; those that failed do not count.

    Returns:
        None if no job counts.
    """
    sign = 1 if _kind(task).higher_is_better else -1
    ranked = [
        (sign * record.dev, -(record.rate or 0.0), record)
        for record in tried
        if record.done and record.dev is not None
    ]
    return max(ranked, key=lambda item: item[:2])[2] if ranked else None


def _kind(task: str) -> DevScore:
    if task not in DEV_SCORES:
        raise SuperbError(f"it is not known how {task} is scored on its dev split; leave --search-lr out")
    return DEV_SCORES[task]
