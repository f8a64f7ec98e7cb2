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
                wave = utterance.read(0, utterance.samples)
                whole = np.clip(np.rint(wave * _SCALE), -_SCALE, _SCALE - 1).astype(np.int16)
            except AudioError as error:
                whole = error.with_traceback(None)
            self._kept[index] = whole
        if isinstance(whole, AudioError):
            raise AudioError(str(whole))
        return whole[start : start + samples].astype(np.float32) / np.float32(_SCALE)


class NoiseBank:
    """Stretches of noise, drawn from a corpus of it.

    Args:
        corpus: recordings of noise; each is as likely as it is long.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._reader = Reader(corpus, cache=True)
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
                wave = self._reader.read(index)
            except AudioError as error:
                problem = error
                continue
            return np.resize(np.roll(wave, -start), samples)
        raise DataError(f"the recordings of noise cannot be read, the last because: {problem}")
