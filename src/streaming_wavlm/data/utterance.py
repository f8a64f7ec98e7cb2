"""One recording of a corpus: how long it is, and how to hear part of it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import soundfile

from streaming_wavlm.audio_file import AudioFile
from streaming_wavlm.config import SAMPLE_RATE
from streaming_wavlm.errors import AudioError

from .decode import Wave, read_segment, to_mono

_WHOLE = 2**63 - 1


class Utterance(Protocol):
    """What a corpus is made of."""

    @property
    def name(self) -> str:
        """What to call it in messages and in the corpus' fingerprint."""
        ...

    @property
    def samples(self) -> int:
        """Its length at 16 kHz, as its manifest says."""
        ...

    def read(self, start: int, samples: int) -> Wave:
        """Return ``samples`` samples from ``start`` on; fewer where it ends before.

        Raises:
            AudioError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileUtterance:
    """An audio file."""

    name: str
    samples: int
    path: Path

    def read(self, start: int, samples: int) -> Wave:
        """Return part of the file; see :meth:`Utterance.read`."""
        return read_segment(self.path, start, samples)


@dataclass(frozen=True, slots=True)
class CutUtterance:
    """A Lhotse cut, with whatever transforms, mixes and storage it has."""

    name: str
    samples: int
    cut: Any

    def read(self, start: int, samples: int) -> Wave:
        """Return part of the cut; see :meth:`Utterance.read`."""
        return cut_audio(self.cut, start, samples)


@dataclass(frozen=True, slots=True)
class SharUtterance:
    """A cut whose audio lies in a Shar archive, found by its place there: no need to read in order."""

    name: str
    samples: int
    archive: Path
    offset: int
    size: int

    def read(self, start: int, samples: int) -> Wave:
        """Return part of the cut; see :meth:`Utterance.read`."""
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
            with AudioFile(io.BytesIO(data)) as audio:
                wave, rate = audio.part(0, _WHOLE), audio.samplerate
        except (soundfile.SoundFileError, OSError, RuntimeError) as error:
            raise AudioError(f"{self.name} in {self.archive} cannot be read: {error}") from error
        return to_mono(wave, rate, f"{self.name} in {self.archive}")[start : start + samples]


@dataclass(frozen=True, slots=True)
class LostUtterance:
    """A recording whose audio is not where its manifest says: it counts as one that cannot be read."""

    name: str
    samples: int
    why: str

    def read(self, start: int, samples: int) -> Wave:
        """Raise what is wrong with it; see :meth:`Utterance.read`."""
        raise AudioError(f"{self.name} cannot be read: {self.why}")


@dataclass(frozen=True, slots=True)
class SpedUtterance:
    """A recording played faster or slower, by resampling: in another voice."""

    utterance: Utterance
    speed: float

    @property
    def name(self) -> str:
        """The recording's name and the speed."""
        return f"{self.utterance.name}@{self.speed:g}"

    @property
    def samples(self) -> int:
        """Its length at this speed."""
        return round(self.utterance.samples / self.speed)

    def read(self, start: int, samples: int) -> Wave:
        """Return part of the recording; see :meth:`Utterance.read`."""
        wave = self.utterance.read(round(start * self.speed), math.ceil(samples * self.speed))
        return to_mono(wave[:, None], round(SAMPLE_RATE * self.speed), self.name)[:samples]


def cut_audio(cut: Any, start: int, samples: int) -> Wave:
    """Return part of a Lhotse cut at 16 kHz.

    Raises:
        AudioError: Lhotse cannot read it, for whatever reason.
    """
    try:
        begin = start / SAMPLE_RATE
        length = min(samples / SAMPLE_RATE, cut.duration - begin)
        part = cut if start == 0 and length >= cut.duration else cut.truncate(offset=begin, duration=length)
        wave = part.load_audio()
    except Exception as error:  # Lhotse's backends raise whatever their libraries do
        raise AudioError(f"the cut {cut.id} cannot be read: {type(error).__name__}: {error}") from error
    return to_mono(wave.T, int(cut.sampling_rate), f"the cut {cut.id}")[:samples]
