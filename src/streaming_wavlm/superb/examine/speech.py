"""Corpora of speech recognition and phone recognition."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SuperbError
from .audio import read_lines, require_audio

Config = Mapping[str, Any]
_ASR_SPLITS = ("train", "dev-clean", "test-clean")
# phone_linear's head has a fixed size.
_PHONES = 41


def examine_transcripts(config: Config) -> tuple[str, ...]:
    """Look at the lengths, transcripts and characters of the splits of ``asr``."""
    data = config["downstream_expert"]["datarc"]
    root, table = Path(data["libri_root"]), Path(data["bucket_file"])
    known = {
        line.rsplit(" ", 1)[0] for line in read_lines(Path(data["dict_path"]), "the dictionary of characters")
    }
    notes = []
    for split in _ASR_SPLITS:
        listed = [path for part in data.get(split) or [] for path in _lengths(table / f"{part}.csv")]
        if not listed:
            raise SuperbError(
                f"the corpus has no recordings for {split}: datarc.{split} names no list in {table}"
            )
        require_audio([root / path for path in listed], split)
        said = _transcripts(root, listed)
        spelt = {Path(path).stem: said[Path(path).stem] for path in listed if Path(path).stem in said}
        strange = {name: unknown for name, text in spelt.items() if (unknown := _characters(text) - known)}
        if strange:
            name, unknown = next(iter(strange.items()))
            raise SuperbError(
                f"{len(strange)} transcripts for {split} have characters that {data['dict_path']} lacks, "
                f"the first is {name} with {' '.join(sorted(unknown))}; add them to it, or change the text"
            )
        empty = sum(not text for text in spelt.values())
        if empty:
            notes.append(f"{empty} of {len(listed)} transcripts for {split} are empty")
        if len(spelt) < len(listed):
            notes.append(
                f"{len(listed) - len(spelt)} recordings for {split} have no transcript and are left out"
            )
        if len(spelt) < 2:
            raise SuperbError(f"{split} has {len(spelt)} recordings with a transcript; it takes two or more")
    return tuple(notes)


def examine_phones(config: Config) -> tuple[str, ...]:
    """Look at the labels, splits and lengths of ``phone_linear``."""
    data = config["downstream_expert"]["datarc"]
    folder, root = Path(data["phone_path"]), Path(data["libri_root"])
    labels = {}
    for line in read_lines(folder / "converted_aligned_phones.txt", "the file of phone labels"):
        name, *classes = line.split(" ")
        labels[name] = classes
        wrong = [phone for phone in classes if not phone.isdigit() or int(phone) >= _PHONES]
        if wrong:
            raise SuperbError(
                f"{folder / 'converted_aligned_phones.txt'} gives {name} the phone {wrong[0]!r}; "
                f"a phone is a number from 0 to {_PHONES - 1}"
            )
    paths = {
        Path(path).stem: root / path for path in _lengths(Path(data["bucket_file"]) / "train-clean-100.csv")
    }
    notes = []
    for split in ("train", "test"):
        names = [line.strip() for line in read_lines(folder / f"{split}_split.txt", f"the list of {split}")]
        there = [name for name in names if name in paths]
        unlabelled = [name for name in there if not labels.get(name)]
        if unlabelled:
            raise SuperbError(
                f"{len(unlabelled)} utterances for {split} have no phones, the first is {unlabelled[0]}; "
                f"label them in converted_aligned_phones.txt, or take them out of {split}_split.txt"
            )
        require_audio([paths[name] for name in there], split)
        if len(there) < len(names):
            notes.append(f"{len(names) - len(there)} utterances for {split} have no length and are left out")
    return tuple(notes)


def _lengths(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"file_path", "length"} <= set(rows.fieldnames or ()):
            raise SuperbError(f"{path} must have the columns file_path and length")
        return [row["file_path"] for row in rows]


def _transcripts(root: Path, listed: list[str]) -> dict[str, str]:
    said = {}
    for folder in sorted({Path(path).parent for path in listed}):
        path = root / folder / f"{folder.parent.name}-{folder.name}.trans.txt"
        for line in read_lines(path, "a file of transcripts"):
            name, *words = line.split()
            said[name] = " ".join(words)
    return said


def _characters(text: str) -> set[str]:
    return set(text.upper().replace(" ", "|"))
