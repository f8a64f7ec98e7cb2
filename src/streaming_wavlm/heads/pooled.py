"""Classes from the mean over a running window: speakers, keywords, emotions, intents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import HeadConfig
from .head import Decision, Head, HeadState, Layers


class PooledHead(Head):
    """S3PRL's mean pooling between a projector and a classifier, over the last ``window_frames`` frames.

    The state is the projected frames of the window themselves: their mean is then the same whatever came
    before, while a running sum would drift.

    Args:
        config: what it is.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        width = config.projector or config.dim
        self.projector = nn.Linear(config.dim, width) if config.projector else nn.Identity()
        self.before = Layers(width, width, config.before) if config.before is not None else nn.Identity()
        self.after = Layers(width, config.outputs, config.after)

    def begin(self) -> HeadState:
        """Return an empty window."""
        weight = self.after.linear.weight
        return (weight.new_zeros(0, self.config.projector or self.config.dim),)

    def advance(self, hidden: Sequence[Tensor], state: HeadState) -> tuple[Decision, HeadState]:
        """Say the classes of the window that ends with the chunk."""
        frames = self.before(self.projector(self.mix(hidden)))
        window = torch.cat([state[0], frames])[-self.config.window_frames :]
        logits = self.after(window.mean(dim=0))
        sizes = [len(slot.labels) for slot in self.config.slots]
        shares = torch.cat([slot.softmax(dim=-1) for slot in logits.split(sizes)])
        return Decision(shares, len(window)), (window,)
