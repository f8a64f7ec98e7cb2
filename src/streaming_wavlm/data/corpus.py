"""A corpus: all recordings of some sources, and what is to be said about them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streaming_wavlm.config import SAMPLE_RATE

from .config import SourceConfig
from .errors import DataError
from .sources import read_source
from .utterance import SpedUtterance, Utterance

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Corpus:
    """Recordings that are long enough, in the order of their sources.

    Attributes:
        utterances: the recordings.
        samples: the length of each at 16 kHz, int64.
        repeats: how often each is seen in an epoch, float64.
        dropped: recordings that were too short.
        summary: of each source, its path, recordings and hours, each recording once at whatever speeds.
    """

    utterances: tuple[Utterance, ...]
    samples: npt.NDArray[np.int64]
    repeats: npt.NDArray[np.float64]
    dropped: int
    summary: tuple[dict[str, Any], ...]

    @property
    def hours(self) -> float:
        """Hours of audio, each recording once at each of its speeds."""
        return float(self.samples.sum()) / SAMPLE_RATE / _SECONDS_PER_HOUR

    def fingerprint(self) -> str:
        """Return a digest of the recordings' names and lengths, in order."""
        digest = hashlib.sha256(self.samples.tobytes() + self.repeats.tobytes())
        for utterance in self.utterances:
            digest.update(f"{utterance.name}\n".encode())
        return digest.hexdigest()[:16]

    def description(self) -> dict[str, Any]:
        """Return what a checkpoint says about the data it was made from, JSON-ready."""
        return {
            "fingerprint": self.fingerprint(),
            "recordings": len(self.utterances),
            "hours": round(self.hours, 3),
            "dropped_as_too_short": self.dropped,
            "sources": list(self.summary),
        }


def open_corpus(sources: Sequence[SourceConfig], root: str | Path = ".", min_seconds: float = 0.0) -> Corpus:
    """Read the manifests of a corpus; no audio yet.

    Args:
        sources: where the recordings come from.
        root: the folder that the sources' paths are relative to.
        min_seconds: recordings that are shorter at any of their speeds are dropped and counted.

    Raises:
        DataError: a source cannot be read, or nothing is left.
    """
    root = Path(root).expanduser()
    utterances: list[Utterance] = []
    repeats: list[float] = []
    summary = []
    dropped = 0
    for source in sources:
        found = read_source(source, root)
        shortest = min_seconds * SAMPLE_RATE * max(source.speeds)
        kept = [utterance for utterance in found if utterance.samples >= shortest]
        dropped += len(found) - len(kept)
        for speed in source.speeds:
            utterances += kept if speed == 1 else [SpedUtterance(utterance, speed) for utterance in kept]
            repeats += [source.repeat] * len(kept)
        seconds = sum(utterance.samples for utterance in kept) / SAMPLE_RATE
        summary.append(
            {
                "path": source.path,
                "recordings": len(kept),
                "hours": round(seconds / _SECONDS_PER_HOUR, 3),
                "repeat": source.repeat,
                "speeds": list(source.speeds),
                "where": {key: list(value) for key, value in source.where.items()},
            }
        )
    if not utterances:
        raise DataError(f"no recording is as long as min_seconds ({min_seconds:g} s); {dropped} are shorter")
    samples = np.array([utterance.samples for utterance in utterances], dtype=np.int64)
    return Corpus(tuple(utterances), samples, np.array(repeats), dropped, tuple(summary))
