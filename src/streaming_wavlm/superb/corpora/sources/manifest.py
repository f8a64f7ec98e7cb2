"""One's own speech: a tab-separated table with a row for each recording."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from ....errors import SuperbError
from ..phones import parse_phones
from ..records import SPLITS, Material, Utterance
from ..table import read_table

# What a task cannot do without.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "asr": ("text",),
    "phone_linear": ("phones",),
    "voxceleb1": ("speaker",),
    "sv_voxceleb1": ("speaker",),
    "diarization": ("speaker",),
    "emotion": ("label",),
    "fluent_commands": ("label",),
    "speech_commands": ("label",),
    "enhancement_stft": (),
    "separation_stft": ("speaker",),
}
_SPLIT_NAMES = {"valid": "dev", "validation": "dev", "val": "dev", "eval": "test"}
_NOISE = "noise"
_SLOTS = "|"


def digest(path: Path) -> str:
    """Return what changes with the table, and with the files in it that appear, go, or are of another size.

    Raises:
        SuperbError: it cannot be read.
    """
    try:
        key = hashlib.sha256(path.read_bytes())
    except OSError as error:
        raise SuperbError(f"the manifest {path} cannot be read: {error}") from error
    for row in read_table(path, ("path",)):
        file = path.parent / row["path"]
        key.update(f"{file.stat().st_size if file.is_file() else -1}\n".encode())
    return key.hexdigest()[:16]


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return what puts "fold10" behind "fold9"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def material(task: str, path: Path) -> Material:
    """Return what a task is made of.

    Columns: ``id``, ``path`` (absolute or relative to the table), ``split`` (``train``, ``dev``, ``test``)
    and what the task needs of ``speaker``, ``text``, ``phones`` (ARPAbet, words separated by ``|``),
    ``label`` (the class; up to three slots separated by ``|``), ``fold`` and ``kind`` (``noise`` for noise).
    ``split`` may be empty throughout for speaker identification, whose utterances are then dealt to the
    splits.

    Args:
        task: S3PRL's name.
        path: of the table.

    Raises:
        SuperbError: it cannot be read, lacks a column, or names a split that is none.
    """
    rows = read_table(path, ("id", "path", "split", *_COLUMNS[task]))
    base = path.parent
    utterances: list[Utterance] = []
    noises: list[Utterance] = []
    for row in rows:
        found = Utterance(
            row["id"],
            (base / row["path"],),
            _SPLIT_NAMES.get(row["split"].lower(), row["split"].lower()),
            speaker=row.get("speaker", ""),
            text=row.get("text", ""),
            phones=parse_phones(row.get("phones", "")),
            labels=tuple(value.strip() for value in row["label"].split(_SLOTS)) if row.get("label") else (),
            fold=row.get("fold", ""),
        )
        (noises if row.get("kind") == _NOISE else utterances).append(found)
    if task == "voxceleb1" and not any(utterance.split for utterance in utterances):
        utterances = _dealt(utterances)
    named = {u.fold for u in utterances if u.fold} if task == "emotion" else set()
    folds = tuple(sorted(named, key=_by_number))
    if not folds and (wrong := sorted({u.split or "(empty)" for u in (*utterances, *noises)} - set(SPLITS))):
        raise SuperbError(f"{path}: the split must be train, dev or test, got {', '.join(wrong)}")
    return Material(
        tuple(utterances), tuple(noises), folds=folds, notes=_heard_before(utterances, bool(folds))
    )


def _heard_before(utterances: list[Utterance], folds: bool) -> tuple[str, ...]:
    """Return a warning if what is tested is trained on, too."""
    places: dict[Path, set[str]] = defaultdict(set)
    for utterance in utterances:
        places[utterance.paths[0]].add(utterance.fold if folds else utterance.split)
    several = [place for place in places.values() if len(place) > 1 and (folds or "test" in place)]
    if not several:
        return ()
    return (
        f"{len(several)} recordings of the test split are in another split, too: the figures are too good",
    )


def _dealt(utterances: list[Utterance]) -> list[Utterance]:
    """Return each speaker's utterances split 7 : 1 : 2, in the order of the table."""
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    dealt = []
    for members in by_speaker.values():
        test = max(1, len(members) // 5)
        dev = max(1, len(members) // 10)
        names = ["train"] * (len(members) - dev - test) + ["dev"] * dev + ["test"] * test
        dealt += [
            replace(utterance, split=split)
            for utterance, split in zip(members, names[-len(members) :], strict=True)
        ]
    return dealt
