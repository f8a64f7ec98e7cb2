"""Learning a teacher's frames as classes: which of the typical ones is it, instead of what exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import StateError
from .losses import MaskedSum, in_full_precision

# Maps rows of this process to those of all processes, ``[rows, dim]`` to ``[processes * rows, dim]``.
Gather = Callable[[Tensor], Tensor]

_FRAMES_PER_BATCH = 400
_ITERATIONS = 25


class Codebook(nn.Module):
    """The typical frames of a target: centroids of k-means over a sample of the corpus.

    As in HuBERT (arXiv 2106.07447). They are measured before training, travel with the state dict, and then
    stay as they are.

    Args:
        units: how many.
        dim: width of the target.
    """

    centroids: Tensor
    fitted: Tensor

    def __init__(self, units: int, dim: int) -> None:
        super().__init__()
        self._sample: list[Tensor] = []
        self._ready = False  # known without asking the device
        self.register_buffer("centroids", torch.zeros(units, dim))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @property
    def measured(self) -> bool:
        """Whether there are centroids."""
        return bool(self.fitted)

    @torch.no_grad()
    def measure(self, frames: Tensor, gather: Gather | None = None) -> None:
        """Take some frames of a batch into the sample.

        Args:
            frames: ``[frames, dim]``; of none, nothing is taken.
            gather: collects rows of all processes, where there are several.
        """
        if len(frames):
            spread = (
                torch.linspace(0, len(frames) - 1, _FRAMES_PER_BATCH, device=frames.device).round().long()
            )
            taken = frames[spread].to(self.centroids.dtype)
        else:  # the other processes wait for as many rows as theirs
            taken = self.centroids.new_full((_FRAMES_PER_BATCH, self.centroids.shape[1]), math.nan)
        rows = taken if gather is None else gather(taken)
        self._sample.append(rows[~rows.isnan().all(1)])

    @torch.no_grad()
    def fit(self) -> None:
        """Make the centroids of the sample; every process has the same sample and so the same centroids.

        Raises:
            StateError: nothing was measured.
        """
        if not any(len(rows) for rows in self._sample):
            raise StateError('the loss "units" needs a sample of the targets: measure some batches first')
        sample = torch.cat(self._sample)
        self._sample = []
        generator = torch.Generator().manual_seed(0)
        units = len(self.centroids)
        chosen = torch.randperm(len(sample), generator=generator)[:units].to(sample.device)
        centroids = sample[chosen.repeat(-(-units // len(chosen)))[:units]]
        for _ in range(_ITERATIONS):
            nearest = _nearest(sample, centroids)
            counts = sample.new_zeros(units).index_add_(0, nearest, sample.new_ones(len(sample)))
            sums = torch.zeros_like(centroids).index_add_(0, nearest, sample)
            centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
        self.centroids.copy_(centroids)
        self.fitted.fill_(True)

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> MaskedSum:
        """Return the cross-entropy of the nearest centroids, in units of that of guessing.

        Args:
            logits: ``[batch, frames, units]``.
            target: ``[batch, frames, dim]``.
            mask: the frames that count, bool ``[batch, frames]``.

        Raises:
            StateError: there are no centroids yet.
        """
        self._ready = self._ready or self.measured
        if not self._ready:
            raise StateError('the loss "units" needs centroids: measure some batches and fit them first')
        with torch.no_grad():
            wanted = _nearest(target.to(self.centroids.dtype), self.centroids)
        entropy = F.cross_entropy(in_full_precision(logits).mT, wanted, reduction="none")
        return MaskedSum(torch.where(mask, entropy, 0).sum() / math.log(len(self.centroids)), mask.sum())


def _nearest(frames: Tensor, centroids: Tensor) -> Tensor:
    """Return the index of the nearest centroid of each frame ``[…, dim]``."""
    return (frames @ centroids.T - centroids.square().sum(1) / 2).argmax(-1)
