"""What a model requires of the tensors it is handed."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import InputError


def check_samples(samples: Tensor, name: str) -> None:
    """Require floating-point audio ``[batch, samples]``.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(samples, Tensor) or samples.ndim != 2:
        shape = list(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise InputError(f"{name} must be a tensor [batch, samples], got {shape}; one recording is wav[None]")
    if not samples.is_floating_point():
        raise InputError(
            f"{name} must be floating point in [-1, 1], got {samples.dtype}; divide 16-bit integers by 32768"
        )


def check_lengths(lengths: Tensor | None, samples: Tensor) -> Tensor:
    """Return the length of each row of ``samples`` ``[batch, samples]``, int64 ``[batch]``.

    Raises:
        InputError: the lengths are not one integer per row between 0 and the samples there are.
    """
    batch, longest = samples.shape
    if lengths is None:
        return torch.full((batch,), longest, dtype=torch.int64, device=samples.device)
    lengths = torch.as_tensor(lengths, device=samples.device)
    if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise InputError(
            f"lengths must be one integer of samples per row, [{batch}], "
            f"got {list(lengths.shape)} {lengths.dtype}"
        )
    if batch and (int(lengths.min()) < 0 or int(lengths.max()) > longest):
        raise InputError(f"lengths must be between 0 and {longest} samples, got {lengths.tolist()}")
    return lengths.long()


def check_active(active: Tensor | None, batch: int) -> None:
    """Require a bool mask ``[batch]``, or None.

    Raises:
        InputError: it is something else.
    """
    if active is None:
        return
    if not isinstance(active, Tensor) or active.dtype != torch.bool or active.shape != (batch,):
        given = (
            f"{list(active.shape)} {active.dtype}" if isinstance(active, Tensor) else type(active).__name__
        )
        raise InputError(f"active must be a bool tensor [{batch}], one value per stream, got {given}")
