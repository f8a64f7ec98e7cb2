"""What goes into an exported step and what comes out, by name."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..config import StreamingWavLMConfig
from ..state import StreamState, initial_state

Precision = Literal["fp32", "bf16", "int8"]

SAMPLES, FRAMES, POSITION = "samples", "frames", "position"
# Before the name of a state: what it is afterwards, or what is to be appended to it.
NEXT, NEW = "next.", "new."


def state_names(config: StreamingWavLMConfig) -> list[str]:
    """Return the names of a state's tensors, in the order of the graph.

    What remembers nothing is left out: a convolution whose kernel is its stride has no left context.
    """
    layers = range(config.num_layers)
    return [
        POSITION,
        *(f"conv.{i}" for i, pad in enumerate(config.front_pads) if pad),
        *(["pos_conv"] if config.conv_pos > 1 else []),
        *(f"keys.{i}" for i in layers),
        *(f"values.{i}" for i in layers),
    ]


def input_names(config: StreamingWavLMConfig) -> list[str]:
    """Return the names of the graph's inputs, in order."""
    return [SAMPLES, FRAMES, *state_names(config)]


def output_names(config: StreamingWavLMConfig) -> list[str]:
    """Return the names of the graph's outputs, in order.

    ``next.X`` takes the place of the state ``X``. Keys and values only grow at their end: ``new.keys.i`` are
    appended to ``keys.i``, of which the oldest as many are dropped. A graph that returned the whole window
    would copy megabytes that nobody changed, at every step.
    """
    states = [(NEW if is_window(name) else NEXT) + name for name in state_names(config)]
    return [*(f"hidden_states.{i}" for i in range(config.num_layers)), *states]


def is_window(name: str) -> bool:
    """Return whether a state is a window of keys or values, to which a step appends."""
    return name.startswith(("keys.", "values."))


def state_tensors(state: StreamState) -> dict[str, Tensor]:
    """Return a state as named tensors, those that remember nothing included."""
    return dict(zip(state.names(), state.tensors(), strict=True))


def input_shapes(config: StreamingWavLMConfig, batch: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input; ``batch`` may be -1 where it is dynamic."""
    blank = state_tensors(initial_state(config, 1, torch.device("meta"), torch.float32))
    shapes = {SAMPLES: (config.chunk_samples,), FRAMES: ()} | {
        name: tuple(blank[name].shape[1:]) for name in state_names(config)
    }
    return {name: (batch, *shape) for name, shape in shapes.items()}


def is_integer(name: str) -> bool:
    """Return whether an input or output is int64 and not floating point."""
    return name in (FRAMES, POSITION, NEXT + POSITION)
