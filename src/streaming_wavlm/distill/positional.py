"""The first stage of the published recipe: the causal positional convolution learns from the centred one."""

from __future__ import annotations

import torch
from torch import nn

from ..conv import PositionalEmbedding
from ..errors import InputError
from ..model import StreamingWavLM
from .losses import loss_function
from .objective import LossReport, averaged_counts
from .objective_config import PositionalConfig
from .target_norm import Average
from .teachers.base import PositionalTargets


class PositionalObjective(nn.Module):
    """Compares the student's positional convolution with the teacher's, both fed the teacher's inputs.

    Args:
        config: whom it learns from, and how it is scored.
    """

    def __init__(self, config: PositionalConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, student: StreamingWavLM, targets: PositionalTargets, average: Average | None = None
    ) -> LossReport:
        """Score a batch; of the student only ``encoder.positional_embedding`` takes part.

        Args:
            student: a causal model as wide as the teacher.
            targets: what goes into the teacher's positional convolution and what comes out.
            average: see :meth:`streaming_wavlm.distill.objective.Objective.forward`.

        Raises:
            InputError: the student's width is not the teacher's.
        """
        embedding: PositionalEmbedding = student.encoder.positional_embedding
        batch, frames, dim = targets.inputs.shape
        if dim != student.config.dim:
            raise InputError(
                f"the positional convolution of the student takes {student.config.dim} channels, "
                f"the teacher {self.config.teacher!r} gives {dim}; they must be equal at this stage"
            )
        exists = torch.arange(frames, device=targets.lengths.device) < targets.lengths[:, None]
        inputs = targets.inputs.to(student.dtype)
        context = inputs.new_zeros(batch, dim, student.config.conv_pos - 1)
        fresh = torch.ones(batch, dtype=torch.bool, device=inputs.device)
        embedded, _ = embedding(inputs, context, fresh)
        loss = loss_function(self.config.loss)(embedded, targets.outputs, exists)
        value = loss.total / averaged_counts([loss.count], average)[0]
        return LossReport(value, {f"{self.config.teacher}/positional/{self.config.loss}": value.detach()})
