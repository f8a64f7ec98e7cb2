"""The x-vector's time-delay layers, padded on the left only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the x-vector: how many frames each layer joins, and how far apart they are.
LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))


class CausalXVector(nn.Module):
    """S3PRL's ``XVector`` (the same layers and parameters), whose frame t hears frames t - 14 to t.

    The published one hears seven frames to each side, and has 14 frames less than it is given; here there are
    zeros before the first frame, and as many frames come out as go in.
    """

    causal: Tensor

    def __init__(
        self, input_dim: int, agg_dim: int, dropout_p: float = 0.0, batch_norm: bool = False, **_: object
    ) -> None:
        super().__init__()
        self.register_buffer("causal", torch.ones(()))
        outputs = [input_dim] * (len(LAYERS) - 1) + [agg_dim]
        self.layers = nn.Sequential(
            *(
                _Layer(input_dim, output, context, dilation, dropout_p, batch_norm)
                for output, (context, dilation) in zip(outputs, LAYERS, strict=True)
            )
        )

    def forward(self, frames: Tensor, mask: Tensor | None = None, **_: object) -> Tensor:
        """Return ``[batch, time, agg_dim]``.

        Args:
            frames: ``[batch, time, input_dim]``.
            mask: S3PRL gives one; frames after an utterance's end change nothing before it.
        """
        output: Tensor = self.layers(frames)
        return output


class _Layer(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, context: int, dilation: int, dropout: float, batch_norm: bool
    ) -> None:
        super().__init__()
        self.before = (context - 1) * dilation
        self.kernel = nn.Conv1d(inputs, outputs, context, dilation=dilation)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(outputs) if batch_norm else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        channels = F.pad(frames.transpose(1, 2), (self.before, 0))
        output: Tensor = self.norm(self.dropout(F.relu(self.kernel(channels))))
        return output.transpose(1, 2)
