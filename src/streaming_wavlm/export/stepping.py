"""A stream through an exported graph: how its state moves on from step to step."""

from __future__ import annotations

import torch
from torch import Tensor

from ..state import StreamState
from .opening import ExportedStep
from .signature import FRAMES, NEW, NEXT, SAMPLES, is_window, state_names, state_tensors


def advance(
    step: ExportedStep, samples: Tensor, frames: Tensor, state: StreamState
) -> tuple[list[Tensor], StreamState]:
    """Run one chunk.

    Args:
        step: the graph.
        samples: ``[batch, chunk_samples]``, float32.
        frames: of each row, int64 ``[batch]``.
        state: the streams so far, in the types of the graph; it is not changed.

    Returns:
        All hidden states ``[batch, chunk_frames, dim]``, and the state after the chunk.
    """
    before = state_tensors(state)
    crossing = {name: before[name] for name in state_names(step.metadata.config)}
    outputs = step.run({SAMPLES: samples, FRAMES: frames, **crossing})
    after = before | {
        name: _appended(old, outputs[NEW + name]) if is_window(name) else outputs[NEXT + name]
        for name, old in crossing.items()
    }
    layers = range(step.metadata.config.num_layers)
    return [outputs[f"hidden_states.{layer}"] for layer in layers], state.with_tensors(list(after.values()))


def in_types_of(step: ExportedStep, state: StreamState) -> StreamState:
    """Return a state in the types that a graph takes."""
    tensors = [
        tensor.to(step.window_type if is_window(name) else step.state_type)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in state_tensors(state).items()
    ]
    return state.with_tensors(tensors)


def _appended(window: Tensor, new: Tensor) -> Tensor:
    """Return the newest of ``window`` and ``new``, as many as the window holds."""
    kept = window.shape[2] - new.shape[2]
    if kept <= 0:
        return new[:, :, -window.shape[2] :].contiguous()
    return torch.cat([window[:, :, -kept:], new], dim=2)
