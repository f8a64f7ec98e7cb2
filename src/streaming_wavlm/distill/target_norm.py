"""Normalising targets, so that no channel of a teacher drowns the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import StateError
from .losses import in_full_precision

TargetNorm = Literal["none", "layer", "instance", "channel", "layer_channel"]
TARGET_NORMS: tuple[str, ...] = ("none", "layer", "instance", "channel", "layer_channel")
# Those that need the corpus to be measured first.
MEASURED: tuple[str, ...] = ("channel", "layer_channel")
_EPSILON = 1e-5

# Maps numbers of this process to their mean over the processes.
Average = Callable[[Tensor], Tensor]


def normalised(targets: Tensor, lengths: Tensor, kind: TargetNorm) -> Tensor:
    """Normalise targets by themselves, to mean 0 and variance 1.

    Args:
        targets: of one layer, ``[batch, frames, dim]``.
        lengths: frames of each row, int64 ``[batch]``.
        kind: ``"layer"`` over the width of each frame, ``"instance"`` over the frames of each channel; of
            ``"layer_channel"`` the first half, a :class:`ChannelNorm` does the second.
    """
    if kind in ("none", "channel"):
        return targets
    targets = in_full_precision(targets)
    if kind in ("layer", "layer_channel"):
        return F.layer_norm(targets, targets.shape[-1:])
    present = _present(targets, lengths)[:, :, None]
    count = present.sum(1, keepdim=True).clamp(min=1)
    mean = torch.where(present, targets, 0).sum(1, keepdim=True) / count
    centred = torch.where(present, targets - mean, 0)
    return centred * (centred.square().sum(1, keepdim=True) / count + _EPSILON).rsqrt()


class ChannelNorm(nn.Module):
    """Brings each channel to mean 0 and variance 1 over a corpus: what tells recordings apart stays.

    The statistics are measured before training, travel with the state dict, and then stay as they are.

    Args:
        dim: channels.
    """

    frames: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._ready = False  # known without asking the device
        # Means over the frames measured so far: of one, of the value and of its square.
        self.register_buffer("frames", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(dim, dtype=torch.float64))

    @property
    def measured(self) -> bool:
        """Whether any frame was measured."""
        return bool(self.frames > 0)

    @torch.no_grad()
    def measure(self, targets: Tensor, lengths: Tensor, average: Average | None = None) -> None:
        """Take a batch into the statistics.

        Args:
            targets: ``[batch, frames, dim]``.
            lengths: frames of each row, int64 ``[batch]``.
            average: maps numbers of this process to their mean over the processes, where there are several.
        """
        values = targets[_present(targets, lengths)].double()
        sums = torch.cat([values.new_tensor([len(values)]), values.sum(0), values.square().sum(0)])
        if average is not None:
            sums = average(sums)
        dim = targets.shape[2]
        number, total, squares = sums[:1], sums[1 : dim + 1], sums[dim + 1 :]
        after = (self.frames + number).clamp(min=1)
        self.mean.copy_((self.mean * self.frames + total) / after)
        self.squares.copy_((self.squares * self.frames + squares) / after)
        self.frames.add_(number[0])

    def forward(self, targets: Tensor) -> Tensor:
        """Normalise ``[batch, frames, dim]``.

        Raises:
            StateError: nothing was measured yet.
        """
        self._ready = self._ready or self.measured
        if not self._ready:
            raise StateError(
                'target_norm "channel" and "layer_channel" need statistics of the targets: '
                "measure some batches before training"
            )
        scale = (self.squares - self.mean.square()).clamp(min=_EPSILON).rsqrt()
        return ((in_full_precision(targets) - self.mean) * scale).to(in_full_precision(targets).dtype)


def _present(targets: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(targets.shape[1], device=targets.device) < lengths[:, None]
