"""Kaldi's folders: text files that map names to audio, speakers and times."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import SuperbError
from .workshop import Workshop

_LONGEST_PART = 2.0


@dataclass(frozen=True)
class Segment:
    """When a speaker speaks in a recording, in seconds."""

    recording: str
    speaker: str
    start: float
    end: float


def write_scp(
    shop: Workshop, folder: str, audio: Mapping[str, str | Path], speakers: Mapping[str, str]
) -> None:
    """Write ``wav.scp``, ``utt2spk`` and ``spk2utt``.

    Args:
        shop: where.
        folder: relative to it.
        audio: the file of each name; relative ones are in the corpus.
        speakers: of each name.

    Raises:
        SuperbError: a path has a space in it, at which S3PRL would cut it.
    """
    if spaced := next((path for path in audio.values() if len(str(shop.final / path).split()) > 1), None):
        raise SuperbError(
            f"S3PRL reads no paths with spaces, such as {shop.final / spaced}; give another folder"
        )
    shop.write(f"{folder}/wav.scp", [f"{name} {shop.final / path}" for name, path in sorted(audio.items())])
    _write_speakers(shop, folder, speakers)


def write_segments(
    shop: Workshop, folder: str, segments: Iterable[Segment], seconds: Mapping[str, float]
) -> None:
    """Write ``segments``, ``utt2spk``, ``spk2utt``, ``reco2dur`` and, to score with, ``rttm``.

    S3PRL reads a recording in chunks and overlooks a segment that begins before a chunk and ends after it, so
    long segments are written in parts of 2 s at most; in ``rttm`` they are whole.

    Args:
        shop: where.
        folder: relative to it.
        segments: who speaks when.
        seconds: the length of each recording.
    """
    whole = sorted(segments, key=lambda s: (s.recording, s.start, s.speaker))
    names: dict[str, Segment] = {}
    for segment in whole:
        for part in _parts(segment):
            start, end = (round(100 * time) for time in (part.start, part.end))
            names[f"{part.speaker}-{part.recording}_{start:07}_{end:07}"] = part
    ordered: Sequence[tuple[str, Segment]] = sorted(names.items())
    shop.write(f"{folder}/segments", [f"{n} {s.recording} {s.start:.2f} {s.end:.2f}" for n, s in ordered])
    _write_speakers(shop, folder, {name: segment.speaker for name, segment in ordered})
    shop.write(f"{folder}/reco2dur", [f"{name} {length:.4f}" for name, length in sorted(seconds.items())])
    shop.write(
        f"{folder}/rttm",
        [
            f"SPEAKER {s.recording} 1 {s.start:.2f} {s.end - s.start:.2f} <NA> <NA> {s.speaker} <NA> <NA>"
            for s in whole
        ],
    )


def _parts(segment: Segment) -> Iterable[Segment]:
    """Yield a segment in equal parts, with bounds on whole hundredths of a second."""
    count = math.ceil((segment.end - segment.start) / _LONGEST_PART)
    bounds = [round(segment.start + (segment.end - segment.start) * i / count, 2) for i in range(count + 1)]
    for start, end in itertools.pairwise(bounds):
        yield Segment(segment.recording, segment.speaker, start, end)


def _write_speakers(shop: Workshop, folder: str, speakers: Mapping[str, str]) -> None:
    shop.write(f"{folder}/utt2spk", [f"{name} {speaker}" for name, speaker in sorted(speakers.items())])
    spoken = defaultdict(list)
    for name, speaker in sorted(speakers.items()):
        spoken[speaker].append(name)
    shop.write(
        f"{folder}/spk2utt", [f"{speaker} {' '.join(found)}" for speaker, found in sorted(spoken.items())]
    )
