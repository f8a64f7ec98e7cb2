"""Holding the tensors of a checkpoint against the architecture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import CheckpointCorruptError, CheckpointMismatchError

from .architecture import some_of
from .layout import expected_shapes

WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensors(tensors: Mapping[str, Tensor], config: StreamingWavLMConfig, source: str) -> None:
    """Require exactly the tensors of ``config``, of their shapes, in floating point and finite.

    Args:
        tensors: the checkpoint, in published parameter names.
        config: the architecture.
        source: the checkpoint's name, for messages.

    Raises:
        CheckpointMismatchError: tensors are missing, unexpected, misshapen or of a type that is no weight's.
        CheckpointCorruptError: a weight is NaN or infinite.
    """
    expected = expected_shapes(config)
    missing = [name for name in expected if name not in tensors]
    unexpected = sorted(name for name in tensors if name not in expected)
    misshapen = [
        f"{name} (found {list(tensors[name].shape)}, expected {list(shape)})"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    troubles = [
        f"{len(names)} {kind}: {some_of(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if names
    ]
    if troubles:
        raise CheckpointMismatchError(
            f"{source} does not fit the architecture: {len(tensors)} tensors were found, "
            f"{len(expected)} expected. {'. '.join(troubles)}. Nothing was loaded; save the whole model's "
            "state dict and no other's, or give the config that it was trained with"
        )
    _check_values(tensors, source)


def _check_values(tensors: Mapping[str, Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in WEIGHT_TYPES or tensor.layout != torch.strided or tensor.is_meta:
            types = ", ".join(str(known).removeprefix("torch.") for known in WEIGHT_TYPES)
            raise CheckpointMismatchError(
                f"{source}: {name} is {tensor.dtype}, {tensor.layout}, on {tensor.device}; expected a dense "
                f"tensor of {types}; save the weights in one of these"
            )
        if not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointCorruptError(
                f"{source}: {bad} of the {tensor.numel()} values of {name} are NaN or infinite: the training "
                "diverged or the file is damaged; take an earlier checkpoint"
            )
