"""Errors added up by layer, by the future that a frame sees and by the time since the beginning."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import SAMPLE_RATE, StreamingWavLMConfig
from ..errors import InputError
from ..visibility import visible_end
from .compare_result import ChunkResult, LayerPair, Place
from .settings import ChunkMs

# Seconds since the beginning: what a frame has heard of the recording doubles from one place to the next.
_FIRST_SECONDS = 0.1
_PLACES = 16


class Spread:
    """How much a teacher's frames vary about their mean."""

    def __init__(self) -> None:
        self._frames = 0
        self._sum: Tensor | float = 0.0
        self._square = 0.0

    def add(self, targets: Tensor) -> None:
        """Add frames ``[frames, dim]``."""
        values = targets.double()
        self._frames += len(values)
        self._sum = self._sum + values.sum(0)
        self._square += float(values.square().sum())

    def of(self, pair: LayerPair) -> float:
        """Return the mean square of a frame's distance from the mean.

        Raises:
            InputError: there are no frames, or all are the same.
        """
        if not self._frames:
            raise InputError("there is no frame that both the student and the teacher have; give more audio")
        mean = torch.as_tensor(self._sum) / self._frames
        found = self._square / self._frames - float(mean.square().sum())
        if not found > 1e-12 * self._square / self._frames:
            raise InputError(
                f"layer {pair.teacher} of the teacher says the same at every frame of these recordings: "
                "there is nothing to compare; give recordings with speech"
            )
        return found


class Tally:
    """The errors at one chunk size.

    Args:
        chunk: milliseconds, or ``"whole"``.
        config: of the student.
        pairs: how many pairs of layers.
    """

    def __init__(self, chunk: ChunkMs, config: StreamingWavLMConfig, pairs: int) -> None:
        self.chunk = chunk
        self._config = config if chunk == "whole" else config.replace(chunk_ms=chunk)
        self._hop_seconds = config.hop / SAMPLE_RATE
        futures = 0 if chunk == "whole" else min(self._config.block_frames, self._config.chunk_frames)
        self._future = torch.zeros(pairs, futures, dtype=torch.float64)
        self._time = torch.zeros(pairs, _PLACES, dtype=torch.float64)
        self._cosine = torch.zeros(pairs, dtype=torch.float64)
        self._future_count = torch.zeros(futures, dtype=torch.float64)
        self._time_count = torch.zeros(_PLACES, dtype=torch.float64)

    def add(self, pair: int, prediction: Tensor, target: Tensor, frames: Tensor, length: int) -> None:
        """Add the frames of a recording.

        Args:
            pair: the index of the pair.
            prediction: ``[frames, dim]``.
            target: ``[frames, dim]``.
            frames: their positions in the recording, int64 ``[frames]``.
            length: frames of the whole recording.
        """
        prediction, target = prediction.double(), target.double()
        squares = (prediction - target).square().sum(-1).cpu()
        self._cosine[pair] += F.cosine_similarity(prediction, target, dim=-1).sum().cpu()
        frames = frames.cpu()
        times = (frames.double() * self._hop_seconds / _FIRST_SECONDS).clamp(
            min=0.5
        ).log2().floor().long() + 1
        times = times.clamp(max=_PLACES - 1)
        self._time[pair].index_add_(0, times, squares)
        future, seen = self._futures(frames, length)
        self._future[pair].index_add_(0, future, squares[seen])
        if pair == 0:
            self._time_count += torch.bincount(times, minlength=_PLACES)
            self._future_count += torch.bincount(future, minlength=len(self._future_count))

    def result(self, spreads: list[float]) -> ChunkResult:
        """Return the errors.

        Args:
            spreads: of each pair's target, as :meth:`Spread.of` gives them.
        """
        size = torch.tensor(spreads, dtype=torch.float64)[:, None]
        count = self._time_count.sum()
        hop_ms = 1000 * self._hop_seconds
        edges = [0.0, *(_FIRST_SECONDS * 2**place for place in range(_PLACES))]
        return ChunkResult(
            self.chunk,
            tuple((self._time.sum(1) / count / size[:, 0]).sqrt().tolist()),
            tuple((self._cosine / count).tolist()),
            tuple(
                Place(k * hop_ms, (k + 1) * hop_ms, int(n), _relative(self._future[:, k], n, size))
                for k, n in enumerate(self._future_count.tolist())
                if n
            ),
            tuple(
                Place(edges[k], edges[k + 1], int(n), _relative(self._time[:, k], n, size))
                for k, n in enumerate(self._time_count.tolist())
                if n
            ),
        )

    def _futures(self, frames: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """How many frames after their own some frames see, and which these are: those with a whole view."""
        if self.chunk == "whole":
            return frames[:0], torch.zeros(len(frames), dtype=torch.bool)
        going_on = torch.tensor([[length + self._config.chunk_frames]])
        end = visible_end(frames[None], going_on, self._config.block_frames, self._config.chunk_frames)[0]
        seen = end <= length
        return (end - frames - 1)[seen], seen


def _relative(squares: Tensor, count: float, size: Tensor) -> tuple[float, ...]:
    found: list[float] = (squares / count / size[:, 0]).sqrt().tolist()
    return tuple(found)
