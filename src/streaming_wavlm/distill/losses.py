"""How far predictions are from targets: sums over the frames that count, and how many those are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LossKind = Literal["mse", "l1", "l1_cosine", "cosine", "gram", "units"]
LOSS_KINDS: tuple[str, ...] = ("mse", "l1", "l1_cosine", "cosine", "gram", "units")
# Those that compare something else than a prediction with a target of its width.
INDIRECT: tuple[str, ...] = ("gram", "units")


@dataclass(frozen=True)
class MaskedSum:
    """A loss before the division: its average is ``total / count``.

    The two are kept apart so that the count can be averaged over processes first.

    Attributes:
        total: the sum of what counts, a scalar.
        count: how many values were summed, a scalar.
    """

    total: Tensor
    count: Tensor


LossFunction = Callable[[Tensor, Tensor, Tensor], MaskedSum]


def loss_function(kind: LossKind, window: int = 50) -> LossFunction:
    """Return a loss: a function of predictions and targets ``[batch, frames, dim]`` and a mask of frames.

    Args:
        kind: ``"mse"``; ``"l1"``; ``"cosine"``, one minus it; ``"l1_cosine"``, DistilHuBERT's sum (arXiv
            2110.01900); ``"gram"``, which compares how similar frames are to each other. ``"units"`` has a
            codebook, and is :class:`~streaming_wavlm.distill.units.Codebook` itself.
        window: frames within which ``"gram"`` compares.
    """
    if kind == "gram":
        return partial(_gram, window=window)
    return partial(_per_frame, _DISTANCES[kind])


def in_full_precision(values: Tensor) -> Tensor:
    """Return float32 of anything shorter."""
    return values if values.dtype == torch.float64 else values.float()


def _per_frame(
    distance: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor, mask: Tensor
) -> MaskedSum:
    distances = distance(in_full_precision(prediction), in_full_precision(target))
    return MaskedSum(torch.where(mask, distances, 0).sum(), mask.sum())


def _mse(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square().mean(-1)


def _l1(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean(-1)


def _cosine(prediction: Tensor, target: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(prediction, target, dim=-1)


def _l1_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    # DistilHuBERT's -log sigmoid(cosine), less its value at agreement: the same gradient, and zero there.
    cosine = F.cosine_similarity(prediction, target, dim=-1)
    agreement = F.softplus(-torch.ones_like(cosine))
    return _l1(prediction, target) + F.softplus(-cosine) - agreement


def _gram(prediction: Tensor, target: Tensor, mask: Tensor, window: int) -> MaskedSum:
    """Compare the cosines between all frames of a window, window after window (arXiv 2312.09040).

    The widths of the two may differ, and a constant delay of one of them hardly shows.
    """
    missing = -prediction.shape[1] % window
    valid = F.pad(mask, (0, missing)).reshape(len(mask), -1, window)
    pairs = valid[..., :, None] & valid[..., None, :]
    # A frame is always like itself: the diagonal says nothing.
    pairs &= ~torch.eye(window, dtype=torch.bool, device=mask.device)
    ours, theirs = (_similarities(in_full_precision(side), missing, window) for side in (prediction, target))
    return MaskedSum(torch.where(pairs, (ours - theirs).square(), 0).sum(), pairs.sum())


def _similarities(frames: Tensor, missing: int, window: int) -> Tensor:
    batch, _, dim = frames.shape
    windows = F.normalize(F.pad(frames, (0, 0, 0, missing)), dim=-1).reshape(batch, -1, window, dim)
    return windows @ windows.mT


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": _mse,
    "l1": _l1,
    "cosine": _cosine,
    "l1_cosine": _l1_cosine,
}
