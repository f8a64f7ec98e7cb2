"""Emotions as IEMOCAP: for each fold of a cross-validation, a list to train on and one to test on."""

from __future__ import annotations

import json

from ....errors import SuperbError
from ..records import Material
from ..workshop import Layout, Workshop, share_of_most_frequent

Row = dict[str, str]


def lay_out_emotion(material: Material, shop: Workshop) -> Layout:
    """Write labelled speech; fold ``n`` of the source is what ``test_fold: fold<n>`` tests on.

    Without folds there is one: its test list is the test split, the rest trains (S3PRL draws dev from that).

    Raises:
        SuperbError: the lists of a fold would be empty, or a class of its test list is not in the other.
    """
    rows: list[tuple[str, Row]] = []
    for utterance in material.utterances:
        if not utterance.labels:
            shop.skip("no label")
        elif (wave := shop.read(utterance)) is not None:
            path = f"wav/{shop.name(utterance.id)}.wav"
            shop.save(path, wave)
            fold = utterance.fold if material.folds else utterance.split
            rows.append((fold, {"path": path, "label": utterance.labels[0], "speaker": utterance.speaker}))
    folds = material.folds or ("test",)
    chances = []
    for number, fold in enumerate(folds, start=1):
        test = [row for found, row in rows if found == fold]
        train = [row for found, row in rows if found != fold]
        write_fold(shop, number, train, test)
        chances.append(share_of_most_frequent(row["label"] for row in test))
        shop.counts[f"fold{number} train"], shop.counts[f"fold{number} test"] = len(train), len(test)
    paths = {"downstream_expert.datarc.root": ".", "downstream_expert.datarc.meta_data": "meta_data"}
    notes = fold_notes(len(folds))
    if not material.folds and any(utterance.split == "dev" for utterance in material.utterances):
        notes = (
            *notes,
            "the dev split is trained on with the train split, of which S3PRL draws a dev of its own",
        )
    return Layout(paths, chances[0], notes=notes)


def fold_notes(folds: int) -> tuple[str, ...]:
    """Return what has to be said of a figure that is of one fold of several."""
    if folds == 1:
        return ()
    return (
        f"the figures and the chance are of fold 1 of {folds}, not their mean; others are tested with "
        "-o \"config.downstream_expert.datarc.test_fold='fold2'\"",
    )


def write_fold(shop: Workshop, number: int, train: list[Row], test: list[Row]) -> None:
    """Write the two lists of a fold.

    Raises:
        SuperbError: one is empty, or a class is in the test list only.
    """
    if not train or not test:
        left_out = ", ".join(f"{count} {reason}" for reason, count in shop.skipped.items())
        raise SuperbError(
            f"fold {number} has {len(train)} recordings to train on and {len(test)} to test on; "
            f"left out were: {left_out or 'none'}"
        )
    labels = sorted({row["label"] for row in train})
    if new := sorted({row["label"] for row in test} - set(labels)):
        raise SuperbError(f"fold {number} tests classes that it does not train: {', '.join(new)}")
    for name, rows in (("train", train), ("test", test)):
        facts = {"labels": {label: i for i, label in enumerate(labels)}, "meta_data": rows}
        shop.write(
            f"meta_data/Session{number}/{name}_meta_data.json", [json.dumps(facts, ensure_ascii=False)]
        )
