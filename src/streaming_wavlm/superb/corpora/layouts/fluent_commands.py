"""Intents as Fluent Speech Commands: three slots for each utterance, in one table for each split."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ....errors import SuperbError
from ..records import SPLITS, Material, Utterance
from ..workshop import Layout, Workshop, share_of_most_frequent

SLOTS = ("action", "object", "location")
TABLES = {"train": "train_data.csv", "dev": "valid_data.csv", "test": "test_data.csv"}
_NONE = "none"
# What pandas, which reads the tables, takes for a missing value.
_MISSING = {"", "na", "n/a", "nan", "null", "<na>", "#n/a", "-nan", "none"}

Intent = tuple[str, str, str]


def lay_out_fluent_commands(material: Material, shop: Workshop) -> Layout:
    """Write utterances with one to three slots; a slot without a value gets ``none``.

    An utterance with a value that no training utterance has is left out: S3PRL has no output for it.

    Raises:
        SuperbError: an utterance has more than three slots.
    """
    seen: list[set[str]] = [set(), set(), set()]
    truth: list[Intent] = []
    for split in SPLITS:
        rows = []
        for utterance in material.of(split):
            if not utterance.labels:
                shop.skip("no label")
                continue
            intent = _intent(utterance)
            if split != "train" and not all(
                value in known for value, known in zip(intent, seen, strict=True)
            ):
                shop.skip("slot value not in train")
            elif (wave := shop.read(utterance)) is not None:
                path = f"wavs/{split}/{shop.name(utterance.id)}.wav"
                shop.save(path, wave)
                rows.append((path, *intent))
                for value, known in zip(intent, seen, strict=True):
                    known.add(value)
        shop.counts[split] = len(rows)
        truth += [row[1:] for row in rows if split == "test"]
        shop.write(f"data/{TABLES[split]}", _table(rows))
    shop.require_splits("labelled utterances")
    note = "an answer is right when all three slots are"
    return Layout({"downstream_expert.datarc.file_path": "."}, share_of_most_frequent(truth), notes=(note,))


def _intent(utterance: Utterance) -> Intent:
    if len(utterance.labels) > len(SLOTS):
        raise SuperbError(
            f"{utterance.id} has {len(utterance.labels)} slots and S3PRL's head knows three: "
            f"{', '.join(utterance.labels)}"
        )
    action, object_, location = (*map(_value, utterance.labels), _NONE, _NONE)[:3]
    return action, object_, location


def _value(label: str) -> str:
    """Return a slot's value as pandas and S3PRL keep it: a name, never a number or a missing value."""
    if label.strip().lower() in _MISSING:
        return _NONE
    try:
        float(label)
    except ValueError:
        return f"value {label}" if label.strip().lower() in ("true", "false") else label
    return f"value {label}"


def _table(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("path", *SLOTS), *rows])
    return buffer.getvalue().splitlines()
