"""Batches for the steps of a run: the same whoever reads them, and whenever."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from streaming_wavlm.config import SAMPLE_RATE
from streaming_wavlm.errors import AudioError

from .batch import Batch, padded
from .decode import Wave
from .errors import DataError
from .plan import BATCH, BatchPlan, Indices
from .reader import Reader

# Changes audio [batch, samples], given the lengths of its rows, the only source of chance it may use, and
# what the rows are called.
Transform = Callable[[Wave, npt.NDArray[np.int64], np.random.Generator, Sequence[str]], Wave]

_AHEAD_PER_WORKER = 2
_SUBSTITUTES = 100


class Loader:
    """Loads the batches of one process.

    Args:
        reader: the audio.
        plan: which recordings make up which batch.
        places: which batches of each step are this process's.
        seed: of what is drawn at random: where recordings are cut, and what ``transform`` does.
        min_samples: what is shorter counts as unreadable.
        max_samples: what is longer is cut at random.
        transform: changes each batch, such as :class:`~streaming_wavlm.augment.Augment`.
        keep_clean: give the audio before ``transform``, too.
        workers: threads that read ahead; with 0, each step is read when it is asked for.
    """

    def __init__(
        self,
        reader: Reader,
        plan: BatchPlan,
        *,
        places: range,
        seed: int,
        min_samples: int,
        max_samples: int,
        transform: Transform | None = None,
        keep_clean: bool = False,
        workers: int = 0,
    ) -> None:
        self._reader = reader
        self._plan = plan
        self._places = places
        self._seed = seed
        self._limits = min_samples, max_samples
        self._transform = transform
        self._keep_clean = keep_clean
        self._workers = workers

    def steps(self, start: int = 0) -> Generator[tuple[Batch, ...]]:
        """Yield the batches of each step from ``start`` on, for ever."""
        step = start
        if not self._workers:
            while True:
                yield self.load(step)
                step += 1
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="loader")
        waiting: deque[Future[tuple[Batch, ...]]] = deque()
        try:
            while True:
                while len(waiting) < self._workers * _AHEAD_PER_WORKER:
                    waiting.append(pool.submit(self.load, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def load(self, step: int) -> tuple[Batch, ...]:
        """Return the batches of one step: a pure function of the step."""
        return tuple(self._batch(step, place) for place in self._places)

    def _batch(self, step: int, place: int) -> Batch:
        rng = np.random.default_rng([self._seed, BATCH, step, place])
        waves, names, bad = [], [], []
        for index in self._candidates(self._plan.batch(step, place)):
            try:
                waves.append(self._read(index, rng))
                names.append(self._reader.corpus.utterances[index].name)
            except AudioError as error:
                bad.append(str(error))
            if waves and len(waves) + len(bad) >= len(self._plan.batch(step, place)):
                break
        if not waves:
            raise DataError(f"{len(bad)} recordings in a row cannot be read, the last because: {bad[-1]}")
        clean, lengths = padded(waves)
        wavs = clean if self._transform is None else self._transform(clean, lengths, rng, names)
        kept = torch.from_numpy(clean) if self._keep_clean else None
        return Batch(torch.from_numpy(wavs), torch.from_numpy(lengths), tuple(names), tuple(bad), kept)

    def _candidates(self, planned: Indices) -> Iterator[int]:
        """What was planned and, should nothing of it be readable, what comes next: no batch is empty."""
        yield from planned.tolist()
        total = len(self._reader.corpus.utterances)
        yield from ((int(planned[-1]) + i) % total for i in range(1, _SUBSTITUTES + 1))

    def _read(self, index: int, rng: np.random.Generator) -> Wave:
        shortest, longest = self._limits
        utterance = self._reader.corpus.utterances[index]
        spare = utterance.samples - longest
        start = int(rng.integers(spare + 1)) if spare > 0 else 0
        wave = self._reader.read(index, start, min(utterance.samples, longest))
        if len(wave) < min(shortest, utterance.samples):
            raise AudioError(
                f"{utterance.name} holds {len(wave) / SAMPLE_RATE:.2f} s from {start / SAMPLE_RATE:.2f} s "
                f"on; its manifest says it is {utterance.samples / SAMPLE_RATE:.2f} s long"
            )
        return wave
