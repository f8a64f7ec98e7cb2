"""How well a task does after so many seconds: the decisions that running pooling gives before the end."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import SuperbError
from ...files import replacing

RATE = 16000
# Tasks that decide once per utterance: the first four whether it is the right class, the last by trials.
_CLASSES = ("voxceleb1", "speech_commands", "fluent_commands", "emotion")
_TRIALS = "sv_voxceleb1"
# The published x-vector joins 15 frames, and its statistics need two of what comes out.
_LEAST_XVECTOR = 16


@dataclass(frozen=True)
class Heard:
    """The decisions of a test set after some seconds of each utterance, or at its end if that is sooner.

    Attributes:
        seconds: of features; the upstream's latency comes on top.
        units: a row per utterance, 1.0 if it was right and 0.0 if not, ``[n, 1]``; for verification a row
            per trial, label (1 for the same speaker) and score, ``[n, 2]``.
    """

    seconds: float
    units: NDArray[np.float64]


def check_seconds(seconds: Sequence[float]) -> None:
    """Refuse moments that are none.

    Raises:
        SuperbError: one is not positive.
    """
    wrong = [moment for moment in seconds if not moment > 0]
    if wrong:
        raise SuperbError(
            f"decisions are asked for after {wrong[0]} s; give seconds above 0, such as 0.5,1,2"
        )


@torch.no_grad()
def heard(runner: Any, split: str, seconds: Sequence[float]) -> list[Heard]:
    """Judge a split after several lengths of time; the upstream computes each utterance once.

    A causal head on the first n frames gives what its running decision was at frame n; a published head
    is asked about the cut utterance, which it was not trained for. The upstream has to be a streaming one:
    the first frames of another know the rest of the utterance.

    Args:
        runner: S3PRL's, with the trained head.
        split: such as ``test``.
        seconds: moments, counted in features from the beginning.

    Returns:
        What was decided at each moment, in their order.

    Raises:
        SuperbError: the task does not decide once per utterance, or a moment is too early for the head.
    """
    check_seconds(seconds)
    task, expert = runner.args.downstream, runner.downstream.model
    if task not in (*_CLASSES, _TRIALS):
        raise SuperbError(
            f"{task} does not decide once per utterance, so there is no decision after some seconds; "
            f"{', '.join((*_CLASSES, _TRIALS))} do"
        )
    per_second = RATE / runner.featurizer.model.downsample_rate
    frames = {moment: max(1, round(moment * per_second)) for moment in seconds}
    if expert.modelrc.get("module") == "XVector" and min(frames.values()) < _LEAST_XVECTOR:
        raise SuperbError(
            f"the published x-vector needs {_LEAST_XVECTOR} frames; {min(seconds)} s has "
            f"{min(frames.values())}; "
            f"ask for {_LEAST_XVECTOR / per_second:.2f} s or more, or use causal heads"
        )
    records: dict[float, Any] = {moment: defaultdict(list) for moment in seconds}
    for entry in runner.all_entries:
        entry.model.eval()
    for batch, (waves, *others) in enumerate(expert.get_dataloader(split)):
        audio = [torch.as_tensor(wave, dtype=torch.float32).to(runner.args.device) for wave in waves]
        features = runner.featurizer.model(audio, runner.upstream.model(audio))
        for moment, count in frames.items():
            cut = [feature[:count] for feature in features]
            expert(split, cut, *others, records=records[moment], batch_id=batch)
    return [Heard(moment, _units(task, expert, split, records[moment])) for moment in seconds]


def _units(task: str, expert: Any, split: str, records: Any) -> NDArray[np.float64]:
    if task != _TRIALS:
        return np.asarray(records["acc"], dtype=np.float64)[:, None]
    trials = getattr(expert, f"{split}_dataset").pair_table
    rows = [
        (float(label), float(expert.score_fn(records[first], records[second])))
        for label, first, second in trials
    ]
    return np.asarray(rows, dtype=np.float64)


def write_heard(path: Path, moments: Sequence[Heard]) -> None:
    """Write decisions as a table: seconds, then the numbers of a unit, a line per unit."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        for moment in moments:
            writer.writerows([moment.seconds, *row] for row in moment.units.tolist())


def read_heard(path: Path) -> list[Heard]:
    """Read what ``write_heard`` wrote.

    Raises:
        SuperbError: the file is not such a table.
    """
    found: dict[float, list[list[float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for seconds, *unit in csv.reader(file, delimiter="\t"):
                found.setdefault(float(seconds), []).append([float(value) for value in unit])
        return [Heard(seconds, np.asarray(units, dtype=np.float64)) for seconds, units in found.items()]
    except (OSError, ValueError) as error:
        raise SuperbError(
            f"{path} is no table of decisions over time ({error}); evaluate the experiment again"
        ) from error
