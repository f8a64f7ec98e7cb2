"""Normalising targets, so that no channel of a teacher drowns the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import StateError
from .losses import in_full_precision

TargetNorm = Literal["none", "layer", "instance", "channel", "layer_channel", "whiten"]
TARGET_NORMS: tuple[str, ...] = ("none", "layer", "instance", "channel", "layer_channel", "whiten")
# Those that need the corpus to be measured first.
MEASURED: tuple[str, ...] = ("channel", "layer_channel", "whiten")
_EPSILON = 1e-5
_LEAST_SHARE = 1e-3

# Maps numbers of this process to their mean over the processes.
Average = Callable[[Tensor], Tensor]


def normalised(targets: Tensor, lengths: Tensor, kind: TargetNorm) -> Tensor:
    """Normalise targets by themselves, to mean 0 and variance 1.

    Args:
        targets: of one layer, ``[batch, frames, dim]``.
        lengths: frames of each row, int64 ``[batch]``.
        kind: ``"layer"`` over the width of each frame, ``"instance"`` over the frames of each channel; of
            ``"layer_channel"`` and ``"whiten"`` the first half, a :class:`ChannelNorm` or :class:`Whitening`
            does the second.
    """
    if kind in ("none", "channel"):
        return targets
    targets = in_full_precision(targets)
    if kind in ("layer", "layer_channel", "whiten"):
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

    def fit(self) -> None:
        """Raise: statistics of channels are there once anything was measured.

        Raises:
            StateError: nothing was measured.
        """
        if not self.measured:
            raise StateError('target_norm "channel" and "layer_channel" saw no targets: measure some first')


class Whitening(nn.Module):
    """Turns targets onto their principal components over a corpus, each brought to mean 0 and variance 1.

    A few directions hold most of the variance of a teacher's layer: voices and microphones. What a linear
    probe reads may lie in the others, and here they count as much. Measured before training, as a
    :class:`ChannelNorm` is, and fitted once.

    Args:
        dim: channels.
        components: how many of the components, the largest first; at most ``dim``.
    """

    mean: Tensor
    projection: Tensor
    fitted: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self._ready = False  # known without asking the device
        self._sums: Tensor | None = None
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("projection", torch.zeros(dim, components))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @property
    def measured(self) -> bool:
        """Whether the components are known."""
        return bool(self.fitted)

    @torch.no_grad()
    def measure(
        self, targets: Tensor, lengths: Tensor, weights: Tensor, average: Average | None = None
    ) -> None:
        """Take a batch into the statistics.

        Args:
            targets: ``[batch, frames, dim]``.
            lengths: frames of each row, int64 ``[batch]``.
            weights: how much a frame of each row counts, int64 ``[batch]``.
            average: maps numbers of this process to their mean over the processes, where there are several.
        """
        present = _present(targets, lengths)
        values = targets[present].double()
        extended = torch.cat([values.new_ones(len(values), 1), values], dim=1)
        weighted = extended * weights[:, None].expand(present.shape)[present][:, None]
        sums = weighted.mT @ extended  # of one, of the values and of their products
        if average is not None:
            sums = average(sums)
        self._sums = sums if self._sums is None else self._sums + sums

    @torch.no_grad()
    def fit(self) -> None:
        """Find the components of what was measured; those beyond the number of targets seen stay at zero.

        Raises:
            StateError: nothing was measured.
        """
        if self._sums is None:
            raise StateError('target_norm "whiten" needs a sample of the targets: measure some batches first')
        components = self.projection.shape[1]
        count = self._sums[0, 0].clamp(min=1)
        mean = self._sums[0, 1:] / count
        covariance = self._sums[1:, 1:] / count - mean[:, None] * mean
        self._sums = None
        variances, directions = torch.linalg.eigh(covariance)
        variances, directions = variances[-components:].flip(0), directions[:, -components:].flip(1)
        # The smallest are guesses from a sample: none is magnified more than its share of the whole allows.
        floor = _LEAST_SHARE * covariance.diagonal().mean() + _EPSILON**2
        self.mean.copy_(mean)
        self.projection.copy_(directions * variances.clamp(min=floor).rsqrt())
        self.fitted.fill_(True)

    def forward(self, targets: Tensor) -> Tensor:
        """Turn ``[batch, frames, dim]`` to ``[batch, frames, components]``.

        Raises:
            StateError: the components are not known yet.
        """
        self._ready = self._ready or self.measured
        if not self._ready:
            raise StateError(
                'target_norm "whiten" needs the components of the targets: '
                "measure some batches and fit them before training"
            )
        targets = in_full_precision(targets)
        return (targets - self.mean.to(targets.dtype)) @ self.projection.to(targets.dtype)


def _present(targets: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(targets.shape[1], device=targets.device) < lengths[:, None]
