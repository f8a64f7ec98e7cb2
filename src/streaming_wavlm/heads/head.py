"""What all heads have in common: the features they hear, and what they say."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HeadConfig, Perceptron

# A value: a step returns another, and leaves it as it was.
HeadState = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Decision:
    """What a head says at the end of a chunk.

    Attributes:
        values: probabilities: ``[outputs]`` of a pooled head, slot after slot; of the others
            ``[frames, outputs]``.
        heard: frames that it pooled over; for the others, the frames of the chunk.
    """

    values: Tensor
    heard: int


class LayerMix(nn.Module):
    """The sum of the hidden states with learned weights, as S3PRL's featurizer makes it.

    Args:
        config: of the head.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self._layer = config.layer
        self._normalize = config.normalize
        self.weights = nn.Parameter(torch.zeros(config.layers)) if config.layers else None

    def forward(self, hidden: Sequence[Tensor]) -> Tensor:
        """Return ``[frames, dim]``.

        Args:
            hidden: all hidden states of the model, each ``[frames, dim]``.
        """
        if self.weights is None:
            return hidden[self._layer].float()
        stacked = torch.stack(tuple(hidden)).float()
        if self._normalize:
            stacked = F.layer_norm(stacked, (stacked.shape[-1],))
        return torch.einsum("l,lfd->fd", torch.softmax(self.weights, dim=-1), stacked)


class Layers(nn.Module):
    """S3PRL's ``FrameLevel``: linear layers with an activation between them.

    Args:
        inputs: width of what comes in.
        outputs: width of what goes out.
        shape: what is between.
    """

    def __init__(self, inputs: int, outputs: int, shape: Perceptron) -> None:
        super().__init__()
        widths = [inputs, *shape.hidden]
        steps: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            steps += [nn.Linear(before, after), getattr(nn, shape.activation)()]
        self.hiddens = nn.Sequential(*steps)
        self.linear = nn.Linear(widths[-1], outputs)

    def forward(self, frames: Tensor) -> Tensor:
        """Return ``[..., outputs]``."""
        result: Tensor = self.linear(self.hiddens(frames))
        return result


class Head(nn.Module, ABC):
    """Says something of a stream at the end of every chunk.

    Args:
        config: what it is.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.mix = LayerMix(config)

    @abstractmethod
    def begin(self) -> HeadState:
        """Return the state of a stream of which nothing was heard."""

    @abstractmethod
    def advance(self, hidden: Sequence[Tensor], state: HeadState) -> tuple[Decision, HeadState]:
        """Hear a chunk.

        Args:
            hidden: all hidden states of the model, each ``[frames, dim]`` with at least one frame.
            state: after the chunk before; it is left as it is.

        Returns:
            What is said of it, and the state after it.
        """
