"""A folder of small sets of real speech, ``bench/SET/manifest.tsv``, and which of them serve a task."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ....errors import SuperbError
from ..phones import parse_phones
from ..records import Material, Utterance
from ..table import read_table

_LOSSY = "the recordings were compressed with a loss (Opus): the decoded ones are the reference"


@dataclass(frozen=True)
class Bench:
    """The sets in a folder.

    Attributes:
        root: holds ``bench`` and, perhaps, ``extra``.
        extra: whether speech recognition also trains on ``extra``.
    """

    root: Path
    extra: bool = False

    def rows(self, name: str, part: str = "bench", *columns: str) -> list[dict[str, str]]:
        """Return the manifest of a set.

        Raises:
            SuperbError: it is not there, or lacks a column.
        """
        path = self.root / part / name / "manifest.tsv"
        if not path.is_file():
            raise SuperbError(f"the bench set {name} is missing: there is no {path}")
        return read_table(path, ("id", "path", "split", *columns))

    def utterances(
        self, name: str, part: str = "bench", *columns: str
    ) -> list[tuple[Utterance, dict[str, str]]]:
        """Return the recordings of a set, each with its row."""
        return [
            (
                Utterance(
                    row["id"],
                    (self.root / part / row["path"],),
                    row["split"],
                    speaker=row.get("speaker", ""),
                    text=row.get("text", ""),
                    group=name,
                ),
                row,
            )
            for row in self.rows(name, part, *columns)
        ]

    def speech(self, name: str, part: str = "bench", *columns: str) -> list[Utterance]:
        """Return the recordings of a set."""
        return [utterance for utterance, _ in self.utterances(name, part, *columns)]


def digest(root: Path) -> str:
    """Return what changes with the manifests.

    Raises:
        SuperbError: there are none.
    """
    manifests = sorted(root.glob("bench/*/manifest.tsv")) + sorted(root.glob("extra/*/manifest.tsv"))
    if not manifests:
        raise SuperbError(f"{root} holds no bench sets: there is no {root / 'bench' / '*' / 'manifest.tsv'}")
    key = hashlib.sha256()
    for path in manifests:
        key.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return key.hexdigest()[:16]


def material(task: str, root: Path, extra: bool) -> Material:
    """Return what a task is made of.

    Args:
        task: S3PRL's name.
        root: holds ``bench`` and, perhaps, ``extra``.
        extra: whether speech recognition also trains on ``extra``.

    Raises:
        SuperbError: a set is missing.
    """
    return _MATERIAL[task](Bench(root, extra))


def _asr(bench: Bench) -> Material:
    utterances = bench.speech("so762", "bench", "text", "speaker")
    train = bench.speech("ls_train_clean", "bench", "text", "speaker")
    if bench.extra:
        train += bench.speech("so762", "extra", "text", "speaker")
        train += bench.speech("ls_train_clean", "extra", "text", "speaker")
    tested = {u.speaker for u in utterances if u.split != "train"}
    utterances += [u for u in train if u.split == "train" and u.speaker not in tested]
    said = {u.text for u in utterances if u.split == "train"}
    again = sum(u.text in said for u in utterances if u.split == "test")
    note = (
        "short read sentences by learners of English, many of them children; "
        f"{again} test sentences occur in train"
    )
    return Material(tuple(utterances), notes=(note,))


def _phones(bench: Bench) -> Material:
    found = bench.utterances("so762", "bench", "phones", "speaker")
    utterances = [replace(utterance, phones=parse_phones(row["phones"])) for utterance, row in found]
    note = "the phones are what a dictionary says of the words, not what the learners of English said"
    return Material(tuple(utterances), notes=(note,))


def _identification(bench: Bench) -> Material:
    """Ten utterances of each speaker: the first seven train, then one for dev and two for the test."""
    seen: Counter[str] = Counter()
    utterances = []
    for utterance in bench.speech("so762", "bench", "speaker"):
        place = seen[utterance.speaker]
        seen[utterance.speaker] += 1
        split = "train" if place < 7 else "dev" if place == 7 else "test"
        utterances.append(replace(utterance, split=split))
    note = "one session for each speaker: the room and the microphone tell speakers apart too"
    return Material(tuple(utterances), notes=(note,))


def _verification(bench: Bench) -> Material:
    train = [u for u in bench.speech("ls_251spk", "bench", "speaker") if u.split == "train"]
    learners = bench.speech("so762", "bench", "speaker")
    train += [u for u in learners if u.split == "train"]
    dev = [u for u in learners if u.split == "dev"]
    test = [replace(u, split="test") for u in bench.speech("ls_test_other", "bench", "speaker")]
    note = "10 test speakers, each in one session: easier than VoxCeleb1"
    return Material((*train, *dev, *test), notes=(note,))


def _voices(bench: Bench, mixtures: dict[str, int], *notes: str) -> Material:
    """One long utterance of each of 251 speakers, split by speaker."""
    speech = bench.speech("ls_251spk", "bench", "speaker")
    return Material(tuple(speech), notes=(_LOSSY, *notes), mixtures=mixtures)


def _enhancement(bench: Bench) -> Material:
    noises = tuple(bench.speech("noise"))
    made = _voices(
        bench,
        {"train": 380, "dev": 34, "test": 81},
        "little noise: five recordings for training, two for the test",
    )
    return replace(made, noises=noises)


def _emotion(bench: Bench) -> Material:
    found = bench.utterances("emodb", "bench", "emotion", "fold", "speaker")
    utterances = [replace(u, labels=(row["emotion"],), fold=row["fold"]) for u, row in found]
    note = "acted German, seven emotions, five folds of two speakers; the same ten sentences in every fold"
    return Material(tuple(utterances), notes=(note,), folds=tuple(sorted({u.fold for u in utterances})))


def _intents(bench: Bench) -> Material:
    utterances = []
    for utterance, row in bench.utterances("barista_intent", "bench", "slots"):
        slots = json.loads(row["slots"])
        labels = tuple(slots.get(slot, "none") for slot in ("coffeeDrink", "size", "roast"))
        utterances.append(replace(utterance, labels=labels))
    notes = (
        "orders of coffee: action is the drink, object its size, location its roast",
        "some speakers may be in two splits",
    )
    return Material(tuple(utterances), notes=notes)


def _keywords(bench: Bench) -> Material:
    found = bench.utterances("wakewords", "bench", "keyword")
    utterances = [replace(u, labels=(row["keyword"],)) for u, row in found]
    note = "six wake words and silence, no unknown words; speakers are not known and may be in two splits"
    return Material(tuple(utterances), noises=tuple(bench.speech("noise")), notes=(note,))


_MATERIAL: dict[str, Callable[[Bench], Material]] = {
    "asr": _asr,
    "phone_linear": _phones,
    "voxceleb1": _identification,
    "sv_voxceleb1": _verification,
    "diarization": lambda bench: _voices(bench, {"train": 190, "dev": 34, "test": 54}),
    "emotion": _emotion,
    "fluent_commands": _intents,
    "speech_commands": _keywords,
    "enhancement_stft": _enhancement,
    "separation_stft": lambda bench: _voices(bench, {"train": 380, "dev": 34, "test": 54}),
}
