"""Recordings to measure on: the same ones, whole or from their start, in the same batches every time."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from streaming_wavlm.errors import AudioError

from .batch import Batch, padded
from .plan import Indices
from .reader import Reader

logger = logging.getLogger(__name__)


class HeldOut:
    """The batches of a corpus to measure on.

    Args:
        reader: the corpus.
        batch_samples: the most samples of one batch, padding included.
        max_samples: only so much of a recording counts, from its start.
        limit: the most samples in all; recordings are then chosen at random, always the same. All when None.
    """

    def __init__(
        self, reader: Reader, batch_samples: int, max_samples: int, limit: int | None = None
    ) -> None:
        self._reader = reader
        self._max_samples = max_samples
        samples = np.minimum(reader.corpus.samples, max_samples)
        order = np.random.default_rng(0).permutation(len(samples))
        within = np.cumsum(samples[order]) <= (samples.sum() if limit is None else limit)
        within[:1] = True
        chosen = order[within]
        self.batches: list[Indices] = []
        for index in chosen[np.argsort(samples[chosen], kind="stable")]:
            # Rising lengths: the newest is the longest.
            if not self.batches or (len(self.batches[-1]) + 1) * samples[index] > batch_samples:
                self.batches.append(np.empty(0, dtype=np.int64))
            self.batches[-1] = np.append(self.batches[-1], index)

    def load(self, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield every ``world``-th batch from number ``rank`` on; one that cannot be read has no rows."""
        for indices in self.batches[rank::world]:
            waves, bad = [], []
            for index in indices.tolist():
                try:
                    samples = min(self._reader.corpus.utterances[index].samples, self._max_samples)
                    waves.append(self._reader.read(index, 0, samples))
                except AudioError as error:
                    bad.append(str(error))
                    logger.warning("not measured on: %s", error)
            wavs, lengths = padded(waves)
            yield Batch(torch.from_numpy(wavs), torch.from_numpy(lengths), (), tuple(bad))
