"""A model in another floating-point type, beside the one that was given."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..model import StreamingWavLM


def converted(model: StreamingWavLM, dtype: torch.dtype) -> StreamingWavLM:
    """Return a model with its weights in a floating-point type: a copy, or the model where they are in it.

    Args:
        model: the model; it is left as it is.
        dtype: the type.
    """
    if all(parameter.dtype == dtype for parameter in model.parameters()):
        return model
    # Told to deepcopy as copied already, so that the weights are not copied in their own type first.
    known: dict[int, object] = {
        id(parameter): nn.Parameter(parameter.detach().to(dtype, copy=True), parameter.requires_grad)
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, known)
