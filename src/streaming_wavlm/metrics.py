"""How well a student agrees with its teachers, accumulated over batches and processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Agreement:
    """How well predictions agree with targets.

    Attributes:
        cosine: the mean cosine of a frame's prediction and its target.
        relative_error: the norm of all errors over the norm of all targets; 0 is exact, 1 is no better than
            silence.
        frames: how many frames were compared.
    """

    cosine: float
    relative_error: float
    frames: int


class LayerAgreement:
    """Accumulates the agreement of each layer, or of whatever else has a name.

    Every batch counts by its frames: one pass over many small batches gives what a large one gives.
    """

    def __init__(self) -> None:
        # By name: the sum of the cosines, of the squared errors and of the squared targets, and the frames.
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, name: str, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add a batch.

        Args:
            name: of the layer.
            prediction: ``[batch, frames, dim]``.
            target: ``[batch, frames, dim]``.
            mask: the frames that count, bool ``[batch, frames]``.
        """
        ours, theirs = prediction[mask].double(), target[mask].double()
        cosines = F.cosine_similarity(ours, theirs, dim=-1).sum()
        error, size = (ours - theirs).square().sum(), theirs.square().sum()
        frames = torch.full_like(size, len(ours))
        sums = torch.stack([cosines, error, size, frames]).cpu()
        self._sums[name] = self._sums.get(name, torch.zeros_like(sums)) + sums

    def merge(self, other: LayerAgreement) -> Self:
        """Add what another has accumulated, and return this one."""
        for name, sums in other._sums.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(sums)) + sums
        return self

    def totals(self) -> dict[str, Tensor]:
        """Return the sums of each name, float64 ``[4]``; those of several processes may be added up."""
        return {name: sums.clone() for name, sums in self._sums.items()}

    def load_totals(self, totals: Mapping[str, Tensor]) -> None:
        """Replace what was accumulated by such sums."""
        self._sums = {name: sums.double().cpu().clone() for name, sums in totals.items()}

    def result(self) -> dict[str, Agreement]:
        """Return the agreement of each name that has frames, in order of appearance."""
        return {
            name: Agreement(cosine / frames, (error / size) ** 0.5 if size else float("inf"), int(frames))
            for name, (cosine, error, size, frames) in ((n, s.tolist()) for n, s in self._sums.items())
            if frames
        }
