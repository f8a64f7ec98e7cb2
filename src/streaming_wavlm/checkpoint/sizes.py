"""Holding what tensors claim to be against the bytes that are there, before anybody copies them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from streaming_wavlm.errors import CheckpointCorruptError

_ADVICE = "it is damaged or was made to mislead; save the weights again, each as a tensor of its own"


def check_sizes(tensors: Mapping[str, Tensor], size: int, source: str) -> None:
    """Refuse tensors that would grow beyond their file when they are copied.

    A tensor with a stride of 0 repeats one number as often as it likes, and many can share one storage.

    Args:
        tensors: as the file has them.
        size: the file's length in bytes.
        source: the file's name, for messages.

    Raises:
        CheckpointCorruptError: the tensors claim more than the file holds.
    """
    total = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            continue  # refused later, as no kind of weight
        claimed = tensor.numel() * tensor.element_size()
        held = tensor.untyped_storage().nbytes()
        if claimed > held:
            raise CheckpointCorruptError(
                f"{source}: {name} {list(tensor.shape)} claims {claimed} bytes, and {held} are there; "
                f"{_ADVICE}"
            )
        total += claimed
    if total > size:
        raise CheckpointCorruptError(
            f"{source}: the tensors claim {total} bytes together, and the file has {size}; {_ADVICE}"
        )
