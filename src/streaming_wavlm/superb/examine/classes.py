"""Corpora of tasks that choose one of a few classes for a recording."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SuperbError
from .audio import frames, require_audio

Config = Mapping[str, Any]
_SLOTS = ("action", "object", "location")
_KEYWORDS = {
    "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_unknown_", "_silence_",
}  # fmt: skip
_SECOND = 16000


def examine_emotion(config: Config) -> tuple[str, ...]:
    """Look at the lists of the fold that ``emotion`` is going to use."""
    data = config["downstream_expert"]["datarc"]
    fold = (data.get("test_fold") or "fold1").replace("fold", "Session")
    found = {}
    for split in ("train", "test"):
        path = Path(data["meta_data"]) / fold / f"{split}_meta_data.json"
        try:
            listing = json.loads(path.read_text(encoding="utf-8"))
            labels, rows = listing["labels"], listing["meta_data"]
            strange = sorted({row["label"] for row in rows} - set(labels))
            paths = [Path(data["root"]) / row["path"] for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SuperbError(f"the list of {split}, {path}, cannot be read: {error!r}") from error
        if strange:
            raise SuperbError(f"{path} uses the label {strange[0]!r}, which is not among {', '.join(labels)}")
        require_audio(paths, split)
        found[split] = labels
    if found["train"] != found["test"]:
        raise SuperbError(
            f"the labels of train and test of {data['meta_data']}/{fold} are numbered differently"
        )
    return ()


def examine_commands(config: Config) -> tuple[str, ...]:
    """Look at the tables of ``fluent_commands``."""
    root = Path(config["downstream_expert"]["datarc"]["file_path"])
    tables = {split: _table(root / "data" / f"{split}_data.csv") for split in ("train", "valid", "test")}
    known = {slot: {row[slot] for row in tables["train"]} for slot in _SLOTS}
    for slot, values in known.items():
        if values and all(value.lstrip("-").isdigit() for value in values):
            raise SuperbError(
                f"the column {slot} of {root / 'data'} holds numbers only; S3PRL needs words there"
            )
    for split, rows in tables.items():
        strange = [(slot, row[slot]) for row in rows for slot in _SLOTS if row[slot] not in known[slot]]
        if strange:
            slot, value = strange[0]
            raise SuperbError(
                f"{split}_data.csv of {root} has {len(strange)} values that train_data.csv lacks, "
                f"the first is {slot} {value!r}: the head cannot answer it; take these lines out"
            )
        require_audio([root / row["path"] for row in rows], split)
    return ()


def examine_keywords(config: Config) -> tuple[str, ...]:
    """Look at the folders of ``speech_commands``."""
    data = config["downstream_expert"]["datarc"]
    train, test = Path(data["speech_commands_root"]), Path(data["speech_commands_test_root"])
    words = {path.name: sorted(path.glob("*.wav")) for path in sorted(train.iterdir()) if path.is_dir()}
    noise = words.pop("_background_noise_", [])
    spoken = [path for paths in words.values() for path in paths]
    require_audio(spoken, "train and dev", rate=None, channels=64)
    if noise:
        require_audio(noise, "silence", rate=_SECOND, channels=64)
    short = [path for path in noise if frames(path) <= _SECOND]
    if short:
        raise SuperbError(f"{short[0]} is not longer than 1 s, which is what silence is cut from it in")
    expert = importlib.import_module("s3prl.downstream.speech_commands.expert")
    learned, judged = (len(part) + len(noise) for part in expert.split_dataset(train))
    if learned < int(data["batch_size"]):
        raise SuperbError(
            f"{train} has {learned} recordings to train on, which do not fill a batch of "
            f"{data['batch_size']}; set config.downstream_expert.datarc.batch_size lower"
        )
    if not judged:
        raise SuperbError(
            f"{train} has no recordings for dev: S3PRL takes those whose name, up to _nohash_, has a "
            "hash below 10 %; more names of speakers give it some"
        )
    answers = [path for path in sorted(test.iterdir()) if path.is_dir()]
    strange = [path.name for path in answers if path.name not in _KEYWORDS]
    if strange:
        raise SuperbError(
            f"{test} has the folder {strange[0]!r}, which is no class of S3PRL's; "
            f"there are {', '.join(sorted(_KEYWORDS))}"
        )
    require_audio(
        [path for folder in answers for path in sorted(folder.glob("*.wav"))], "test", rate=None, channels=64
    )
    unheard = sorted(_KEYWORDS - set(words) - {"_unknown_", *(["_silence_"] if noise else [])})
    return (f"no recordings to train on for {', '.join(unheard)}",) if unheard else ()


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuperbError(f"the table {path} cannot be read: {error}") from error
    lacking = {"path", *_SLOTS} - set(rows[0] if rows else ())
    if lacking:
        raise SuperbError(f"{path} needs rows with the columns path, {', '.join(_SLOTS)}")
    return rows
