"""The module that is traced: the model's own feed, between flat lists of named tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..model import StreamingWavLM
from ..state import initial_state
from ..streaming import check_no_dropout
from .signature import input_names, input_shapes, is_integer, state_names, state_tensors


class StepGraph(nn.Module):
    """One chunk through the network, whatever part of it exists.

    Args:
        model: a causal model in eval mode.
    """

    def __init__(self, model: StreamingWavLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, samples: Tensor, frames: Tensor, position: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """Map the inputs of :func:`~.signature.input_names` to its ``output_names``.

        Args:
            samples: one chunk ``[batch, chunk_samples]``, float32.
            frames: how many frames of it exist in each row, int64 ``[batch]``.
            position: frames before it, int64 ``[batch]``.
            *state: the other tensors of the state.
        """
        config, dtype = self.model.config, self.model.dtype
        names = state_names(config)
        # Those that remember nothing do not cross the border. len() would make the batch a constant.
        blank = initial_state(config, samples.shape[0], samples.device, dtype, window=0)
        given = state_tensors(blank) | dict(zip(names, (position, *state), strict=True))
        before = blank.with_tensors(list(given.values()))
        hidden, after = self.model._feed(
            samples.to(dtype), before, position + frames, config, keep=config.chunk_frames
        )
        following = state_tensors(after)
        return (*(layer.float() for layer in hidden), *(following[name] for name in names))


def trace(model: StreamingWavLM, batch: int | None) -> ExportedProgram:
    """Return the program of a model's step.

    Args:
        model: a causal model in eval mode, on the CPU.
        batch: the number of streams; any number when None.

    Raises:
        InputError: the model, or a part of it, would apply dropout.
    """
    check_no_dropout(model)
    config = model.config
    # Two streams where any number may come: a dimension of one is taken for a constant.
    shapes = input_shapes(config, 2 if batch is None else batch)
    inputs = tuple(torch.zeros(shapes[name], dtype=_dtype(name, model)) for name in input_names(config))
    dynamic = None
    if batch is None:
        rows = {0: Dim("batch", min=1)}
        dynamic = (rows, rows, rows, (rows,) * (len(inputs) - 3))
    with torch.no_grad():
        return torch.export.export(StepGraph(model), inputs, dynamic_shapes=dynamic, strict=False)


def _dtype(name: str, model: StreamingWavLM) -> torch.dtype:
    if is_integer(name):
        return torch.int64
    return torch.float32 if name == "samples" else model.dtype
