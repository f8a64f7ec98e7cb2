"""Pooling over the frames so far.

Published heads see the mean (or the statistics) of a whole utterance. Here there is one at every frame, and
it is the same number at the last. Evaluation takes the last. In training each utterance of a batch is
judged at one moment: at its end, or, one time in two, at a frame drawn evenly from the 25th on. Over the
steps that is the loss averaged over moments, half of its weight at the end, and S3PRL's experts need no
change for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Half a second: before that there may be nothing but silence to judge by.
EARLIEST = 25
AT_THE_END = 0.5
_LEAST_VARIANCE = 1e-12


class RunningMean(nn.Module):
    """S3PRL's ``MeanPooling``, over the frames so far.

    Its buffer says that the head is causal: a strict load of a checkpoint of the other kind fails on it.
    """

    causal: Tensor

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.register_buffer("causal", torch.ones(()))

    def forward(self, frames: Tensor, lengths: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        """Pool each utterance up to its end, or in training up to a moment.

        Args:
            frames: ``[batch, time, dim]``.
            lengths: frames of each utterance, ``[batch]``.

        Returns:
            ``[batch, dim]``, and ones ``[batch]`` for the lengths of what is left, as S3PRL wants it.
        """
        moments = draw_moments(lengths) if self.training else lengths
        return mean_until(frames, moments), torch.ones(len(frames), dtype=torch.long)

    def running(self, frames: Tensor) -> Tensor:
        """Return the mean at every frame, ``[batch, time, dim]``."""
        return running_mean(frames)


class RunningStatistics(nn.Module):
    """S3PRL's ``SP`` (mean and standard deviation), over the frames so far."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool each utterance up to its end, or in training up to a moment.

        Args:
            frames: ``[batch, time, dim]``.
            mask: ``[batch, time]``, negative where an utterance is over.

        Returns:
            ``[batch, 2 * dim]``.
        """
        lengths = (mask >= 0).sum(dim=1)
        return statistics_until(frames, draw_moments(lengths) if self.training else lengths)

    def running(self, frames: Tensor) -> Tensor:
        """Return the statistics at every frame, ``[batch, time, 2 * dim]``."""
        return running_statistics(frames)


def draw_moments(lengths: Tensor) -> Tensor:
    """Draw the frame at which each utterance is judged in training.

    Args:
        lengths: frames of each utterance, ``[batch]``.

    Returns:
        How many frames are heard, ``[batch]``: from the 25th on, if there are so many, to all.
    """
    earliest = lengths.clamp(max=EARLIEST)
    share = torch.rand(len(lengths), device=lengths.device)
    drawn = earliest + (share * (lengths - earliest + 1)).to(lengths.dtype)
    ends = torch.rand(len(lengths), device=lengths.device) < AT_THE_END
    return torch.where(ends, lengths, torch.minimum(drawn, lengths))


def mean_until(frames: Tensor, moments: Tensor) -> Tensor:
    """Return the mean of the first ``moments`` frames of each utterance, ``[batch, dim]``."""
    # Sums of half precision overflow.
    wide = frames.to(torch.promote_types(frames.dtype, torch.float32))
    return ((wide * _heard(wide, moments)).sum(dim=1) / moments.to(wide)[:, None]).to(frames.dtype)


def statistics_until(frames: Tensor, moments: Tensor) -> Tensor:
    """Return mean and standard deviation of the first ``moments`` frames, ``[batch, 2 * dim]``."""
    wide = frames.to(torch.promote_types(frames.dtype, torch.float32))
    mean = mean_until(wide, moments)
    squares = ((wide - mean[:, None]) ** 2 * _heard(wide, moments)).sum(dim=1)
    variance = squares / (moments.to(wide)[:, None] - 1).clamp(min=1)
    return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=-1).to(frames.dtype)


def running_mean(frames: Tensor) -> Tensor:
    """Return the mean of the frames so far, at every frame, ``[batch, time, dim]``."""
    return (frames.double().cumsum(dim=1) / _counts(frames)).to(frames.dtype)


def running_statistics(frames: Tensor) -> Tensor:
    """Return mean and standard deviation of the frames so far, at every frame, ``[batch, time, 2 * dim]``."""
    # In double precision: the difference of two sums of squares.
    counts, wide = _counts(frames), frames.double()
    mean = wide.cumsum(dim=1) / counts
    variance = ((wide**2).cumsum(dim=1) - counts * mean**2) / (counts - 1).clamp(min=1)
    return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=-1).to(frames.dtype)


def _heard(frames: Tensor, moments: Tensor) -> Tensor:
    """One where a frame is heard and zero where not, ``[batch, time, 1]``."""
    positions = torch.arange(frames.shape[1], device=frames.device)
    return (positions < moments[:, None].to(frames.device)).to(frames.dtype)[..., None]


def _counts(frames: Tensor) -> Tensor:
    return torch.arange(1, frames.shape[1] + 1, dtype=torch.float64, device=frames.device)[:, None]
