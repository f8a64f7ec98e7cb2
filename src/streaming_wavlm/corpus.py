"""The speech that the package carries: telephone prompts by four voices in five languages.

The recordings are under their own licences, CC BY-SA 3.0 and CC BY 3.0: see ``ATTRIBUTION.md`` in
:func:`folder`.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audio import Samples, read_audio
from .config import SAMPLE_RATE
from .errors import AudioError, InputError

_LONG_CLIPS = ("en-demo-instruct", "en-demo-congrats", "en-demo-echotest")
_PAUSE_SECONDS = 0.4


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        id: unique name, ``<language>-<prompt>``.
        path: the Ogg/Opus file, 16 kHz mono.
        speaker: the voice: ``allison`` (English and Spanish), ``june``, ``carlo`` or ``ivrvoice``.
        language: ``en``, ``es``, ``fr``, ``it`` or ``ru``.
        prompt: what is said, by the name of the prompt: ``digits-7``, ``letters-a``, ``vm-goodbye``.
        samples: length in samples at 16 kHz.
        sha256: the first 16 hex digits of the file's SHA-256.
    """

    id: str
    path: Path
    speaker: str
    language: str
    prompt: str
    samples: int
    sha256: str

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / SAMPLE_RATE


def folder() -> Path:
    """Return the folder of the recordings, their manifest, licences and attribution.

    Raises:
        AudioError: the package is installed without it.
    """
    found = importlib.resources.files(__package__) / "assets" / "speech"
    if not isinstance(found, Path) or not (found / "manifest.tsv").is_file():
        raise AudioError(
            f"the embedded speech is not in {found}; install the package from a wheel or a checkout, unzipped"
        )
    return found


@functools.cache
def clips() -> tuple[Clip, ...]:
    """Return all recordings, by language and prompt.

    Raises:
        AudioError: the package is installed without them.
    """
    root = folder()
    with (root / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Clip(
                id=row["id"],
                path=root / row["path"],
                speaker=row["speaker"],
                language=row["language"],
                prompt=row["prompt"],
                samples=int(row["samples"]),
                sha256=row["sha256"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        )


def read(clip: Clip) -> Samples:
    """Return the audio of a recording, 16 kHz mono float32 ``[samples]``.

    Raises:
        AudioError: the file is missing or damaged.
    """
    return read_audio(clip.path)


def long_recording(seconds: float) -> Samples:
    """Return connected English speech of exactly the length asked for, always the same.

    Up to 73 s it is one recording without a cut; beyond, further ones follow after a short pause, over again
    as often as it takes.

    Args:
        seconds: the length wanted.

    Returns:
        16 kHz mono float32 ``[round(seconds * 16000)]``.

    Raises:
        InputError: ``seconds`` is less than one sample.
        AudioError: the package is installed without its speech.
    """
    if not 1 / SAMPLE_RATE <= seconds < float("inf"):
        raise InputError(f"seconds must be at least one sample, 1/{SAMPLE_RATE}, and finite; got {seconds!r}")
    wanted = round(seconds * SAMPLE_RATE)
    by_id = {clip.id: clip for clip in clips()}
    pause = np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE), dtype=np.float32)
    pieces: list[Samples] = []
    have = 0
    while have < wanted:
        for name in _LONG_CLIPS:
            if have < wanted:
                pieces += [read(by_id[name]), pause]
                have += len(pieces[-2]) + len(pause)
    return np.concatenate(pieces)[:wanted]
