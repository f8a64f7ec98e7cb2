"""What stands between the student and a target while it learns: linear maps and pooling over time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .losses import in_full_precision

Pool = Literal["auto", "none", "mean", "mean_std", "running_mean", "running_mean_std"]
POOLS: tuple[str, ...] = ("auto", "none", "mean", "mean_std", "running_mean", "running_mean_std")
# What a teacher's frames can be summarised by.
TargetPool = Literal["none", "mean", "mean_std"]
TARGET_POOLS: tuple[str, ...] = ("none", "mean", "mean_std")
# Below the square root: its slope is infinite at 0.
_EPSILON = 1e-5


def pool(hidden: Tensor, mask: Tensor, kind: Pool) -> Tensor:
    """Summarise the frames of each recording.

    Args:
        hidden: ``[batch, frames, dim]``.
        mask: the frames that exist, from the first on, bool ``[batch, frames]``.
        kind: ``"mean"``, or ``"mean_std"`` for mean and standard deviation side by side; with ``running_`` in
            front, of the frames so far at every frame, so that a stream can be asked at any time.

    Returns:
        ``[batch, 1, width]``, or ``[batch, frames, width]`` for a running summary; ``width`` is ``dim`` or
        ``2 * dim``.
    """
    present = mask[:, :, None]
    hidden = torch.where(present, in_full_precision(hidden), 0)
    if kind.startswith("running_"):
        # Around a constant near the mean, for the difference of two large squares would be inexact.
        about = (hidden.sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)).detach()
        count = present.cumsum(1).clamp(min=1)
        offset = torch.where(present, hidden - about, 0)
        mean_offset = offset.cumsum(1) / count
        mean = mean_offset + about
        variance = offset.square().cumsum(1) / count - mean_offset.square()
    else:
        count = present.sum(1, keepdim=True).clamp(min=1)
        mean = hidden.sum(1, keepdim=True) / count
        variance = torch.where(present, (hidden - mean).square(), 0).sum(1, keepdim=True) / count
    if not kind.endswith("_std"):
        return mean
    return torch.cat([mean, (variance.clamp(min=0) + _EPSILON).sqrt()], dim=-1)


class Head(nn.Module):
    """Maps a student's layer to the space of a target: nothing, a linear map, or pooling and a linear map.

    Args:
        dim: width of the student.
        target_dim: width of the target.
        linear: whether there is a linear map.
        pooling: how time is summarised; ``"none"`` if not.
    """

    def __init__(self, dim: int, target_dim: int, linear: bool, pooling: Pool = "none") -> None:
        super().__init__()
        self.pooling = pooling
        width = 2 * dim if pooling.endswith("_std") else dim
        self.linear = nn.Linear(width, target_dim) if linear else None

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Map ``[batch, frames, dim]`` to ``[batch, frames or 1, target_dim]``.

        Args:
            hidden: a layer of the student.
            mask: its frames that exist, bool ``[batch, frames]``.
        """
        if self.pooling != "none":
            hidden = pool(hidden, mask, self.pooling)
        if self.linear is not None:
            hidden = self.linear(hidden.to(self.linear.weight.dtype))
        return hidden
