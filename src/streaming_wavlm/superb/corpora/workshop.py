"""The folder in which a corpus is made: audio is checked on the way in, and what is left out is counted."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from ...audio import audio_info, read_audio
from ...config import SAMPLE_RATE
from ...errors import AudioError, SuperbError
from .records import SPLITS, Utterance

Wave = npt.NDArray[np.float32]

# Below this mean power (-90 dB) a recording is silence; S3PRL's trimming would leave nothing of it.
_SILENCE = 1e-9
# What every upstream can make at least a few frames of.
MIN_SECONDS = 0.1
_PAUSE_SECONDS = 0.15


@dataclass(frozen=True)
class Layout:
    """What a layout leaves behind.

    Attributes:
        paths: the config's keys that point into the folder: the path of each relative to it, or absolute.
        chance: the accuracy that guessing the most frequent class of the test split gets.
        classes: what each of S3PRL's class names stands for, where that is not the name itself.
        notes: what has to be said about figures from it.
    """

    paths: dict[str, str]
    chance: float | None = None
    classes: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Workshop:
    """Where a corpus is made before it is put in its place.

    Args:
        folder: a new, empty folder.
        final: where the folder will be put, absolute.
        seed: of every choice.
        template: the experiment's config before its paths are filled in; layouts read sizes from it.
    """

    def __init__(self, folder: Path, final: Path, seed: int, template: dict[str, Any]) -> None:
        self.folder = folder
        self.final = final
        self.seed = seed
        self.template = template
        self.counts: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.resampled = 0
        self._names: set[tuple[str, str]] = set()

    def rng(self, purpose: str) -> random.Random:
        """Return a generator that depends on the seed and on what it is for."""
        return random.Random(f"{self.seed} {purpose}")  # noqa: S311 - not for secrets

    def skip(self, reason: str, count: int = 1) -> None:
        """Count what is left out."""
        if count:
            self.skipped[reason] += count

    def read(self, utterance: Utterance, seconds: float = MIN_SECONDS) -> Wave | None:
        """Return an utterance as 16 kHz mono, or None, counted, when nothing can be made of it.

        Args:
            utterance: what to read.
            seconds: the least that is of use.
        """
        try:
            waves = [read_audio(path) for path in utterance.paths]
            rates = [audio_info(path).sample_rate for path in utterance.paths]
        except AudioError:
            self.skip("unreadable audio")
            return None
        pause = np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE), dtype=np.float32)
        pieces = [piece for wave in waves for piece in (wave, pause)][:-1]
        wave = np.concatenate(pieces).astype(np.float32, copy=False)
        if len(wave) < seconds * SAMPLE_RATE:
            self.skip("too short")
            return None
        if float(np.mean(np.square(wave, dtype=np.float64))) < _SILENCE:
            self.skip("silent")
            return None
        self.resampled += any(rate != SAMPLE_RATE for rate in rates)
        return wave

    def save(self, relative: str, wave: npt.NDArray[Any]) -> None:
        """Write 16 kHz mono audio as 16-bit WAV."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, wave, SAMPLE_RATE, subtype="PCM_16")

    def write(self, relative: str, lines: Iterable[str]) -> None:
        """Write a text file."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def name(self, wanted: str, scope: str = "") -> str:
        """Return a name that S3PRL's lists can hold (no spaces, dots or slashes).

        Args:
            wanted: what it should be.
            scope: where nothing else has that name yet: the whole corpus, or a folder.
        """
        plain = self.folder_name(wanted)
        name, number = plain, 1
        while (scope, name) in self._names:
            number += 1
            name = f"{plain}-{number}"
        self._names.add((scope, name))
        return name

    @staticmethod
    def folder_name(wanted: str) -> str:
        """Return a name that S3PRL's lists can hold, not necessarily new."""
        return re.sub(r"[^0-9A-Za-z_-]+", "_", wanted).strip("_") or "x"

    def require_splits(self, what: str, splits: tuple[str, ...] = SPLITS) -> None:
        """Refuse a corpus of which a split is empty.

        Raises:
            SuperbError: one is.
        """
        empty = [split for split in splits if not self.counts[split]]
        if empty:
            left_out = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            raise SuperbError(
                f"there are no {what} for {' and '.join(empty)}"
                + (f"; left out were: {left_out}" if left_out else "; the source has none")
            )


def share_of_most_frequent(labels: Iterable[Any]) -> float:
    """Return the accuracy of always guessing the most frequent label."""
    counts = Counter(labels)
    return max(counts.values()) / counts.total()
