"""What a source of speech hands to a layout: utterances with whatever is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Utterance:
    """A recording and its labels; what a task does not use may be empty.

    Attributes:
        id: its name, unique among those of its speaker and group.
        paths: the audio files, any format and rate; several are joined with a short pause.
        split: ``train``, ``dev`` or ``test``.
        speaker: who speaks.
        text: what is said, as words.
        phones: the same as ARPAbet phones, one tuple for each word.
        labels: the class, or the value of each slot.
        fold: which part of a cross-validation it is in.
        group: what separates the recordings of a speaker: a session, a language.
    """

    id: str
    paths: tuple[Path, ...]
    split: str = "train"
    speaker: str = ""
    text: str = ""
    phones: tuple[tuple[str, ...], ...] = ()
    labels: tuple[str, ...] = ()
    fold: str = ""
    group: str = ""


@dataclass(frozen=True)
class Material:
    """All that a corpus is made from.

    Attributes:
        utterances: the speech.
        noises: noise, for the tasks that add it.
        notes: what has to be said about it wherever a figure from it is shown.
        folds: the names of the parts of a cross-validation, in order; none if the splits are used.
        mixtures: how many to make for each split, for the tasks on mixtures; one for each utterance where
            nothing is said.
    """

    utterances: tuple[Utterance, ...]
    noises: tuple[Utterance, ...] = ()
    notes: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    mixtures: Mapping[str, int] = field(default_factory=dict)

    def of(self, split: str) -> list[Utterance]:
        """Return the speech of a split."""
        return [utterance for utterance in self.utterances if utterance.split == split]
