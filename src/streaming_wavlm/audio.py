"""Audio files of any format and rate as 16 kHz mono float32, whole or block by block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from .audio_file import AudioFile
from .config import SAMPLE_RATE
from .errors import AudioError, InputError

Samples = npt.NDArray[np.floating[Any]]

_QUALITY = "HQ"
# The length that an MP3 declares may be an estimate: reading less is no sign of a cut file.
_ESTIMATED_LENGTH = {"MP3"}


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
        sample_rate: samples per second and channel.
        channels: number of channels.
        samples: samples per channel; an estimate for some formats.
    """

    sample_rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate


class Resampler:
    """Converts a stream of audio to 16 kHz; any split into packets gives what one pass over the whole gives.

    It holds audio back, as a filter must: about 40 ms at 44.1 and 48 kHz and 115 ms at 8 kHz, which
    :meth:`finish` delivers. At 16 kHz audio passes through untouched.

    Args:
        sample_rate: of the audio that comes in, in Hz.
        dtype: floating-point type of the arithmetic and of what comes out.

    Raises:
        InputError: the rate is no positive number.
    """

    def __init__(self, sample_rate: int, dtype: npt.DTypeLike = np.float32) -> None:
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | np.integer) or sample_rate <= 0:
            raise InputError(f"sample_rate must be a positive integer in Hz, got {sample_rate!r}")
        self._dtype = np.dtype(dtype)
        self._rate = int(sample_rate)
        self._stream = self._new_stream()

    @property
    def passes_through(self) -> bool:
        """Whether the audio already is at 16 kHz, so that there is nothing to do and nothing to remember."""
        return self._stream is None

    def push(self, samples: Samples) -> Samples:
        """Take audio ``[samples]`` and return what is due at 16 kHz, ``[samples]``, possibly nothing."""
        samples = np.ascontiguousarray(samples, dtype=self._dtype)
        return samples if self._stream is None else self._resample(samples, last=False)

    def finish(self) -> Samples:
        """Return the audio that was held back; the resampler is then ready for a new stream."""
        nothing = np.zeros(0, dtype=self._dtype)
        if self._stream is None:
            return nothing
        rest = self._resample(nothing, last=True)
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget everything."""
        self._stream = self._new_stream()

    def _new_stream(self) -> Any:
        if self._rate == SAMPLE_RATE:
            return None
        return soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype=self._dtype.name, quality=_QUALITY)

    def _resample(self, samples: Samples, last: bool) -> Samples:
        result: Samples = self._stream.resample_chunk(samples, last=last)
        return result


def audio_info(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of an audio file; where it leaves the length open, the samples are counted.

    Raises:
        AudioError: the file is missing, empty or in no format that libsndfile reads.
    """
    path = Path(path)
    with _opened(path) as file:
        samples = file.known_frames
        try:
            samples = file.count() if samples is None else samples
        except soundfile.SoundFileError as error:
            raise AudioError(f"{path} breaks off: {error}; copy it again from its source") from error
        return AudioInfo(file.samplerate, file.channels, samples)


def iter_audio(path: str | os.PathLike[str], block_seconds: float = 10.0) -> Iterator[Samples]:
    """Yield an audio file as 16 kHz mono, in blocks and in bounded memory.

    The blocks joined are what :func:`read_audio` returns, whatever their size. Channels are averaged.

    Args:
        path: any format and rate that libsndfile reads.
        block_seconds: audio to read at a time, in seconds.

    Yields:
        float32 ``[samples]``; a block may be empty.

    Raises:
        AudioError: the file is missing, empty, broken, holds NaN, or is in no format that libsndfile reads.
            (A WAV or Ogg file that was cut short looks whole to libsndfile, and just ends earlier.)
    """
    path = Path(path)
    with _opened(path) as file:
        resampler = Resampler(file.samplerate)
        blocks = file.blocks_of(round(block_seconds * file.samplerate))
        declared, found, given = file.known_frames or 0, 0, 0
        estimated = file.format in _ESTIMATED_LENGTH
        while True:
            try:
                samples = next(blocks, None)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{path} breaks off after {found / file.samplerate:.2f} s: {error}"
                ) from error
            if samples is None:
                break
            found += len(samples)
            if not np.isfinite(samples).all():
                raise AudioError(f"{path} holds NaN or infinite samples; repair the recording")
            due = resampler.push(samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0])
            given += len(due)
            yield due
        if found == 0:
            raise AudioError(f"{path} holds no audio: its header is sound and there are no samples")
        if found < declared and not estimated:
            raise AudioError(
                f"{path} is cut short: {found} of {declared} samples are there; copy it again from its source"
            )
        rest = resampler.finish()
        if given + len(rest) == 0:
            raise AudioError(f"{path} is too short: it holds less than one sample at 16 kHz")
        yield rest


def read_audio(path: str | os.PathLike[str]) -> Samples:
    """Read a whole audio file as 16 kHz mono.

    Args:
        path: any format and rate that libsndfile reads; channels are averaged.

    Returns:
        float32 ``[samples]``.

    Raises:
        AudioError: as :func:`iter_audio`.
    """
    samples: Samples = np.concatenate(list(iter_audio(path)))
    return samples


def audio_suffixes() -> frozenset[str]:
    """Return the lower-case suffixes, dot included, of the files that are taken for audio in a folder."""
    # Headerless audio (RAW) says neither rate nor type; the usual synonyms are not in libsndfile's list.
    formats = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    return frozenset(formats | {".aif", ".aifc", ".oga", ".opus", ".wave", ".snd"})


def _opened(path: Path) -> AudioFile:
    try:
        if not path.exists():
            raise AudioError(f"{path} does not exist; check the path")
        if path.is_dir():
            raise AudioError(f"{path} is a folder; give the audio files in it")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is an empty file (0 bytes)")
        return AudioFile(os.fspath(path))
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise AudioError(f"the name {shown} is not UTF-8, which libsndfile wants; rename the file") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioError(
            f"{path} is no audio that libsndfile reads (WAV, FLAC, Ogg, Opus, MP3, AIFF, …): {error}"
        ) from error
