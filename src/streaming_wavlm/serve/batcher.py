"""The model's own threads: whoever has a chunk ready is computed in a batched step."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..output import WavLMOutput
from ..protocol import Pool
from ..streaming import Streaming
from .metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What came of a job.

    Attributes:
        features: ``[layers, frames, dim]``, pooled ``[layers, 1, dim]``, in the type that was asked for; None
            if the model failed.
        frames: of the chunk.
        state: after the chunk; None if the model failed.
        seconds: from when the chunk's audio was complete to its features.
        read: what the job's ``read`` gave.
        error: why the model failed.
    """

    features: npt.NDArray[Any] | None
    frames: int
    state: Any
    seconds: float
    error: Exception | None = None
    read: Any = None


@dataclass(frozen=True, eq=False)
class Job:
    """A chunk of one stream.

    Attributes:
        samples: 16 kHz float32 ``[samples]``; a whole chunk, or the rest of a stream.
        state: of the one stream before.
        last: whether the stream ends with it.
        chunk_ms: its chunk size.
        layers: hidden states to return, from 0.
        weights: of a sum of them, if one is asked for.
        dtype: of the features.
        done: called with the job and its result, in a thread of the model's. (If it held the job itself, job
            and state would be a cycle of megabytes, which waits for the garbage collector.)
        read: called with all hidden states of the chunk, each ``[frames, dim]``, in a thread of the model's.
        pool: how the features' frames become one, if they are to.
        complete: when its audio was, in seconds of the monotonic clock; this may be long before it began if
            the model is behind.
        began: when it was made, from when on it waits for company.
    """

    samples: npt.NDArray[np.float32]
    state: Any
    last: bool
    chunk_ms: int
    layers: tuple[int, ...]
    weights: tuple[float, ...] | None
    dtype: str
    done: Callable[[Job, Result], None]
    read: Callable[[Sequence[Tensor]], Any] | None = None
    pool: Pool | None = None
    complete: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.monotonic)

    @property
    def kind(self) -> tuple[int, bool]:
        """Jobs of the same kind go into one step."""
        return self.chunk_ms, self.last


class Batcher:
    """Takes jobs from any thread and computes them in its own.

    Args:
        models: one for each chunk size that is served; they may share weights.
        batch: the most streams in a step.
        wait_ms: how long the first job of a batch waits for others.
        metrics: are told of every step.
        workers: threads that compute a step each, side by side. Those that are free share what is ready.
    """

    def __init__(
        self,
        models: Mapping[int, Streaming[Any]],
        *,
        batch: int,
        wait_ms: float,
        metrics: Metrics,
        workers: int = 1,
    ) -> None:
        self._models = dict(models)
        self._batch = batch
        self._wait = wait_ms / 1000
        self._metrics = metrics
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        # Streams that may have a job: with no others about, waiting for company would be in vain.
        self.company: Callable[[], int] = lambda: 0
        self._free = workers  # threads without a step
        self._busy = 0  # streams in a step
        self._threads = [
            threading.Thread(target=self._run, name=f"model {number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Compute a job; its ``done`` is called, come what may, unless the batcher is closed before."""
        with self._changed:
            self._jobs.append(job)
            self._metrics.queue.set(len(self._jobs))
            self._changed.notify_all()

    def cancel(self, job: Job) -> bool:
        """Take back a job that has not begun; its ``done`` is then never called.

        Args:
            job: that was submitted.

        Returns:
            Whether it had not begun.
        """
        with self._changed:
            if job not in self._jobs:
                return False
            self._jobs.remove(job)
            self._metrics.queue.set(len(self._jobs))
            self._changed.notify_all()
            return True

    def close(self, seconds: float = 10.0) -> None:
        """Finish the steps at hand and end the threads."""
        with self._changed:
            self._closing = True
            self._jobs.clear()
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while jobs := self._next():
            began = time.monotonic()
            results = self._computed(jobs)
            with self._changed:
                self._busy -= len(jobs)
                self._free += 1
            self._metrics.step(len(jobs), time.monotonic() - began)
            for job, result in zip(jobs, results, strict=True):
                try:
                    job.done(job, result)
                except Exception:  # one stream's trouble is not the others'
                    logger.exception("a stream could not take its features")

    def _next(self) -> list[Job]:
        """Wait for jobs of one kind, the oldest job's; none when closing."""
        with self._changed:
            while not self._closing:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if self._gathered():
                    return self._taken()
            return []

    def _gathered(self) -> bool:
        """Wait for company of the oldest job; False if another thread took it meanwhile, or when closing."""
        if self._closing:
            return False
        first = self._jobs[0]
        until = first.began + self._wait
        while not self._closing and self._jobs and self._jobs[0] is first:
            alike = sum(job.kind == first.kind for job in self._jobs)
            left = until - time.monotonic()
            if left <= 0 or alike >= min(self._batch, self.company() - self._busy):
                return True
            self._changed.wait(left)
        return False

    def _taken(self) -> list[Job]:
        """Take the oldest job and those like it, a share of them where other threads are free, too."""
        kind = self._jobs[0].kind
        alike = [job for job in self._jobs if job.kind == kind]
        taken = alike[: min(self._batch, -(-len(alike) // self._free))]
        self._free -= 1
        self._busy += len(taken)
        chosen = set(map(id, taken))
        self._jobs = deque(job for job in self._jobs if id(job) not in chosen)
        self._metrics.queue.set(len(self._jobs))
        return taken

    def _computed(self, jobs: Sequence[Job]) -> list[Result]:
        try:
            return self._together(jobs)
        except Exception as error:  # whatever the model raises: states are values, nothing is lost
            if len(jobs) == 1:
                logger.exception("the model failed on a chunk")
                self._metrics.errors.labels("model").inc()
                return [Result(None, 0, None, time.monotonic() - jobs[0].complete, error)]
            logger.warning("a step of %d streams failed (%s): trying them one by one", len(jobs), error)
        return [self._computed([job])[0] for job in jobs]

    @torch.inference_mode()
    def _together(self, jobs: Sequence[Job]) -> list[Result]:
        model = self._models[jobs[0].chunk_ms]
        state = jobs[0].state.stack([job.state for job in jobs]) if len(jobs) > 1 else jobs[0].state
        # Heads hear all layers.
        every = any(job.read is not None for job in jobs)
        wanted = (
            list(range(model.config.num_layers))
            if every
            else sorted({layer for job in jobs for layer in job.layers})
        )
        lengths = torch.tensor([len(job.samples) for job in jobs], device=model.device)
        waves = torch.zeros(len(jobs), int(lengths.max()))
        for row, job in enumerate(jobs):
            waves[row, : len(job.samples)] = torch.from_numpy(job.samples)
        waves = waves.to(model.device, model.dtype)
        if jobs[0].last:
            output, after = model.finish(state, waves, lengths, layers=wanted)
        else:
            output, after = model.step(waves, state, layers=wanted)
        now = time.monotonic()
        return [
            Result(
                _features(output, wanted, row, job),
                int(output.lengths[row]),
                after.select([row]) if len(jobs) > 1 else after,
                now - job.complete,
                read=_read(output, row, job),
            )
            for row, job in enumerate(jobs)
        ]


def _read(output: WavLMOutput, row: int, job: Job) -> Any:
    if job.read is None:
        return None
    return job.read([hidden[row, : int(output.lengths[row])] for hidden in output.hidden_states])


def _features(output: WavLMOutput, wanted: Sequence[int], row: int, job: Job) -> npt.NDArray[Any]:
    frames = int(output.lengths[row])
    chosen = [output.hidden_states[wanted.index(layer)][row, :frames] for layer in job.layers]
    hidden: Tensor = torch.stack(chosen).float()
    if job.weights is not None:
        hidden = torch.einsum("l,lfd->fd", hidden.new_tensor(job.weights), hidden)[None]
    if job.pool == "mean":
        hidden = hidden.mean(1, keepdim=True)
    return hidden.to(getattr(torch, job.dtype)).cpu().numpy()
