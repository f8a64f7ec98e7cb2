"""What the outputs of a trained head are called: S3PRL's checkpoints do not say it, its data does."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import HeadError
from ..heads.config import Slot
from .corpora.layouts.speech_commands import SILENCE, UNKNOWN, WORDS
from .corpora.layouts.voxceleb import FIRST_ID
from .corpora.phones import PHONES

_PREPARED = "prepared.json"
_SLOTS = ("action", "object", "location")


def labels_of(task: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Slot, ...]:
    """Return the questions of a head and its answers.

    Names that ``superb prepare`` gave to S3PRL's classes are turned back into what they stand for, if the
    corpus is still there.

    Args:
        task: S3PRL's name of it.
        config: of the experiment.
        tensors: of the head, for how many outputs it has.

    Raises:
        HeadError: the labels are in the corpus, and it is not where the config says.
    """
    data = (config.get("downstream_expert") or {}).get("datarc") or {}
    if task == "speech_commands":
        names = _meanings(data.get("speech_commands_root"))
        labels = (*WORDS, UNKNOWN, SILENCE)
        return (Slot("keyword", _distinct([names.get(label, label) for label in labels])),)
    if task == "voxceleb1":
        names = _meanings(data.get("file_path"))
        outputs = tensors["model.post_net.linear.weight"].shape[0]
        identities = [f"id{FIRST_ID + i}" for i in range(outputs)]
        return (Slot("speaker", _distinct([names.get(one, one) for one in identities])),)
    if task == "phone_linear":
        return (Slot("phone", PHONES),)
    if task == "diarization":
        return (Slot("speech", tuple(f"speaker {i + 1}" for i in range(len(tensors["model.linear.bias"])))),)
    return _emotions(data) if task == "emotion" else _intents(data)


def _emotions(data: Mapping[str, Any]) -> tuple[Slot, ...]:
    folds = sorted(Path(str(data.get("meta_data"))).glob("*/train_meta_data.json"))
    if not folds:
        raise _gone("emotion", data.get("meta_data"))
    numbers = json.loads(folds[0].read_text(encoding="utf-8"))["labels"]
    return (Slot("emotion", tuple(sorted(numbers, key=numbers.__getitem__))),)


def _intents(data: Mapping[str, Any]) -> tuple[Slot, ...]:
    path = Path(str(data.get("file_path"))) / "data" / "train_data.csv"
    if not path.is_file():
        raise _gone("fluent_commands", path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # S3PRL numbers the values by their first appearance.
    return tuple(Slot(slot, tuple(dict.fromkeys(row[slot] for row in rows))) for slot in _SLOTS)


def _meanings(place: Any) -> dict[str, str]:
    """What ``superb prepare`` says its classes stand for."""
    if not place:
        return {}
    folder = Path(str(place))
    for path in (folder / _PREPARED, folder.parent / _PREPARED):
        if path.is_file():
            classes = json.loads(path.read_text(encoding="utf-8")).get("classes")
            return {str(name): str(meaning) for name, meaning in (classes or {}).items()}
    return {}


def _distinct(names: list[str]) -> tuple[str, ...]:
    """A keyword may stand in another's place, whose own name is then that of a class nobody trained."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    return tuple(name if seen[name] == 1 else f"{name} ({place})" for place, name in enumerate(names))


def _gone(task: str, place: object) -> HeadError:
    return HeadError(
        f"the names of the classes of {task} are in its corpus, and nothing is at {place}; convert the head "
        "where the corpus is: streaming-wavlm superb head EXPERIMENT --out FOLDER"
    )
