"""One step of training: batches in, weights changed; nothing else decides about the result.

A loss is a mean over the frames of the whole step: over the processes exactly, over accumulated batches by
each batch's share of the student's frames. The share is that of frames for pooled losses too, which there are
once per recording: of several accumulated batches each weighs by its frames and not by its rows, so a
recording counts as much as those of its batch are long on average. Over the processes, every recording of a
place counts the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Batch
from .schedule import chunk_in_ms, learning_rate
from .task import Lesson
from .workshop import Workshop

_TORCH = 4  # what the random numbers are for; see data.plan


@dataclass(frozen=True)
class StepReport:
    """What a step found, over all processes.

    Attributes:
        loss: the objective.
        parts: the loss of each pair.
        gradient: the length of the gradient, before clipping.
        lr: the learning rate.
        chunks: the chunk size of each batch of a process.
        finite: False if the weights were left as they are because something was NaN or infinite.
        seconds: of audio.
        seen: recordings asked for.
        bad: recordings that could not be read.
        stop: whether any process was asked to stop.
    """

    loss: float
    parts: dict[str, float]
    gradient: float
    lr: float
    chunks: tuple[str, ...]
    finite: bool
    seconds: float
    seen: int
    bad: int
    stop: bool


class Stepper:
    """Does the steps of a run.

    Args:
        shop: what it works with.
        fabric: processes, device, precision.
        module: the task as Fabric wrapped it.
        optimiser: as Fabric wrapped it.
    """

    def __init__(self, shop: Workshop, fabric: Any, module: Any, optimiser: Any) -> None:
        self._shop = shop
        self._fabric = fabric
        self._module = module
        self._optimiser = optimiser

    def __call__(self, step: int, loaded: Sequence[Batch], stop: bool = False) -> StepReport:
        """Do one step.

        Args:
            step: which, from 0.
            loaded: this process's batches, on the CPU.
            stop: whether this process was asked to stop; the report tells all.
        """
        shop, fabric, recipe = self._shop, self._fabric, self._shop.recipe
        self._seed(step)
        lr = learning_rate(step, recipe.steps, recipe.optimiser.lr, recipe.schedule)
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        chunks = [shop.chunks.draw(step, place) for place in range(len(loaded))]
        batches = [batch.to(fabric.device) for batch in loaded]
        averages = self._averages(batches)
        totals = []
        for place, (batch, average) in enumerate(zip(batches, averages, strict=True)):
            with fabric.autocast():
                targets = shop.teachers.teach(batch)
            chunk_ms = chunk_in_ms(chunks[place], batch.wavs.shape[1], shop.student.config)
            with self._synced(place == len(batches) - 1):
                total, parts = self._module(Lesson(batch, targets, chunk_ms, average))
                fabric.backward(total / len(batches))
            totals.append(torch.cat([total.detach().float().reshape(1), parts.float()]) / len(batches))
        gradient = fabric.clip_gradients(
            self._module,
            self._optimiser,
            max_norm=recipe.optimiser.clip or float("inf"),
            error_if_nonfinite=False,
        )
        means, sums = self._reduced(torch.stack(totals).sum(0), loaded, stop)
        norm = float(gradient)
        finite = bool(np.isfinite([means[0], norm]).all())
        scaler = getattr(fabric.strategy.precision, "scaler", None)
        if finite or scaler is not None:  # a scaler leaves such a step out itself, and lowers its scale
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        seconds, seen, bad, stopped = sums
        return StepReport(
            means[0], dict(zip(shop.task.part_names, means[1:], strict=True)), norm, lr,
            tuple(map(str, chunks)), finite, seconds, round(seen), round(bad), stopped > 0,
        )  # fmt: skip

    def _seed(self, step: int) -> None:
        """Make torch's chance (dropout) a function of the step: there is no generator to carry along."""
        words = [self._shop.recipe.seed, _TORCH, step, self._fabric.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def _averages(self, batches: Sequence[Batch]) -> list[Callable[[Tensor], Tensor] | None]:
        """How each batch maps its counts of frames to the mean over all batches of the step.

        Over the processes exactly; over the accumulated batches by their share of the student's frames, as
        their counts are not known before they are computed.
        """
        fabric = self._fabric
        if fabric.world_size == 1 and len(batches) == 1:
            return [None]
        hop = self._shop.student.config.hop
        frames = torch.stack([((batch.lengths + hop - 1) // hop).sum() for batch in batches]).double()
        if fabric.world_size > 1:
            frames = fabric.all_reduce(frames, reduce_op="sum")
        ratios = frames.mean() / frames

        def averaged(place: int) -> Callable[[Tensor], Tensor]:
            def average(counts: Tensor) -> Tensor:
                if fabric.world_size > 1:
                    counts = fabric.all_reduce(counts, reduce_op="mean")
                return counts * ratios[place]

            return average

        return [averaged(place) for place in range(len(batches))]

    def _synced(self, last: bool) -> AbstractContextManager[Any]:
        if last or self._fabric.world_size == 1:
            return nullcontext()
        context: AbstractContextManager[Any] = self._fabric.no_backward_sync(self._module)
        return context

    def _reduced(
        self, losses: Tensor, batches: Sequence[Batch], stop: bool
    ) -> tuple[list[float], list[float]]:
        """Losses averaged and counts summed over the processes, in one exchange."""
        bad = sum(len(batch.bad) for batch in batches)
        counts = [
            sum(batch.seconds for batch in batches),
            sum(len(batch.names) for batch in batches) + bad,
            bad,
            stop,
        ]
        world = self._fabric.world_size
        values = torch.cat([losses.double() / world, losses.new_tensor(counts, dtype=torch.float64)])
        if world > 1:
            values = self._fabric.all_reduce(values, reduce_op="sum")
        numbers = values.tolist()
        return numbers[: len(losses)], numbers[len(losses) :]
