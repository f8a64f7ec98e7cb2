"""Reads recordings of a corpus, if wished keeping them in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streaming_wavlm.errors import AudioError

from .corpus import Corpus
from .decode import Wave
from .errors import DataError

_SCALE = 32768
_NOISE_ATTEMPTS = 10


class Reader:
    """The audio of a corpus; may be used by several threads.

    Args:
        corpus: the recordings.
        cache: keep what was decoded, as 16-bit integers. A recording then sounds the same (rounded to
            16 bits) whether it was kept or not.
    """

    def __init__(self, corpus: Corpus, cache: bool = False) -> None:
        self.corpus = corpus
        self._kept: dict[int, npt.NDArray[np.int16] | AudioError] | None = {} if cache else None

    def read(self, index: int, start: int = 0, samples: int | None = None) -> Wave:
        """Return part of a recording, float32 ``[samples]``; less where it ends before.

        Raises:
            AudioError: it cannot be read.
        """
        utterance = self.corpus.utterances[index]
        samples = utterance.samples - start if samples is None else samples
        if self._kept is None:
            return utterance.read(start, samples)
        whole = self._kept.get(index)
        if whole is None:
            try:
                whole = _short(utterance.read(0, utterance.samples))
            except AudioError as error:
                whole = error.with_traceback(None)
            self._kept[index] = whole
        if isinstance(whole, AudioError):
            raise AudioError(str(whole))
        return _long(whole[start : start + samples])


class NoiseBank:
    """Stretches of noise, drawn from a corpus of it, rounded to 16 bits.

    Args:
        corpus: recordings of noise; each is as likely as it is long.
        cache: keep what was decoded. Otherwise only the stretch is read, which is the same audio, but for the
            first samples of a stretch that has to be resampled.
    """

    def __init__(self, corpus: Corpus, cache: bool = False) -> None:
        self._reader = Reader(corpus, cache)
        self._stretch = self._from_whole if cache else self._from_part
        self._chances = corpus.samples / corpus.samples.sum()

    def __call__(self, samples: int, rng: np.random.Generator) -> Wave:
        """Return ``samples`` samples of noise from a random place; a short recording is repeated.

        Raises:
            DataError: recording after recording cannot be read.
        """
        problem: AudioError | None = None
        for _ in range(_NOISE_ATTEMPTS):
            index = int(rng.choice(len(self._chances), p=self._chances))
            start = int(rng.integers(self._reader.corpus.utterances[index].samples))
            try:
                return _long(_short(self._stretch(index, start, samples)))
            except AudioError as error:
                problem = error
        raise DataError(f"the recordings of noise cannot be read, the last because: {problem}")

    def _from_whole(self, index: int, start: int, samples: int) -> Wave:
        """What follows ``start``, from the beginning again after the end, as often as it takes."""
        return np.resize(np.roll(self._reader.read(index), -start), samples)

    def _from_part(self, index: int, start: int, samples: int) -> Wave:
        total = self._reader.corpus.utterances[index].samples
        before_end = min(samples, total - start)
        if samples < total:
            try:
                parts = [self._reader.read(index, start, before_end)]
                if before_end < samples:
                    parts.append(self._reader.read(index, 0, samples - before_end))
            except AudioError:
                parts = []
            wave = np.concatenate(parts) if parts else np.zeros(0, np.float32)
            if len(wave) == samples:
                return wave
        return self._from_whole(index, start, samples)  # it is short, or shorter than its manifest says


def _short(wave: Wave) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(wave * _SCALE), -_SCALE, _SCALE - 1).astype(np.int16)


def _long(wave: npt.NDArray[np.int16]) -> Wave:
    return wave.astype(np.float32) / np.float32(_SCALE)
