"""A linear map fitted by ridge regression, from sums that many recordings add up to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Of the mean variance of the inputs: enough to keep directions that hardly vary from being blown up.
RIDGE = 1e-3
# Of the root mean square over the channels: what a channel's deviation is at least taken for.
_LEAST = 1e-3


@dataclass(frozen=True)
class LinearMap:
    """Maps a student's frames to a teacher's channels, each brought to mean 0 and variance 1.

    Attributes:
        weight: ``[dim, teacher dim]``.
        mean: of the student's channels, ``[dim]``.
        target_mean: of the teacher's channels, ``[teacher dim]``.
        target_std: of the teacher's channels, ``[teacher dim]``.
    """

    weight: Tensor
    mean: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __call__(self, frames: Tensor) -> Tensor:
        """Map ``[frames, dim]`` to ``[frames, teacher dim]``."""
        return (frames.double() - self.mean) @ self.weight

    def target(self, frames: Tensor) -> Tensor:
        """Return a teacher's frames ``[frames, teacher dim]`` as the map is to give them."""
        return (frames.double() - self.target_mean) / self.target_std


class RidgeFit:
    """Accumulates what the map needs; the frames themselves are not kept."""

    def __init__(self) -> None:
        self.frames = 0
        self._sums: list[Tensor] = []

    def add(self, frames: Tensor, targets: Tensor) -> None:
        """Add frames ``[frames, dim]`` and what they are to be mapped to, ``[frames, teacher dim]``."""
        ours, theirs = frames.double(), targets.double()
        sums = [ours.sum(0), theirs.sum(0), ours.T @ ours, ours.T @ theirs, theirs.square().sum(0)]
        self.frames += len(ours)
        self._sums = [old + new for old, new in zip(self._sums, sums, strict=True)] if self._sums else sums

    def solved(self) -> LinearMap:
        """Return the map; at least one frame was added."""
        mean, target_mean, squares, products, target_squares = (item / self.frames for item in self._sums)
        variance = squares - torch.outer(mean, mean)
        target_variance = (target_squares - target_mean.square()).clamp(min=0)
        tiny = torch.finfo(torch.float64).tiny
        least = (_LEAST * target_variance.mean().sqrt()).clamp(min=tiny)
        target_std = target_variance.sqrt().maximum(least)
        shared = (products - torch.outer(mean, target_mean)) / target_std
        ridge = RIDGE * variance.diagonal().mean().clamp(min=tiny)
        weight = torch.linalg.solve(variance + ridge * torch.eye(len(mean)).to(variance), shared)
        return LinearMap(weight, mean, target_mean, target_std)
