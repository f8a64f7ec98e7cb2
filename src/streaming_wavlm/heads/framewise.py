"""Something at every frame: a class, or which of some speakers speak."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import HeadConfig
from .head import Decision, Head, HeadState


class FrameHead(Head):
    """A linear layer at every frame, such as S3PRL's for phones.

    Args:
        config: what it is.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.linear = nn.Linear(config.dim, config.outputs)

    def begin(self) -> HeadState:
        """Return nothing: a frame is all it hears."""
        return ()

    def advance(self, hidden: Sequence[Tensor], state: HeadState) -> tuple[Decision, HeadState]:
        """Say a class for every frame of the chunk."""
        shares = self.linear(self.mix(hidden)).softmax(dim=-1)
        return Decision(shares, len(shares)), state


class ActivityHead(Head):
    """S3PRL's diarization: an LSTM over the frames so far, and for each speaker whether they speak.

    It was trained on pieces of ``restart_frames`` frames, each begun anew; so is each piece of a stream.

    Args:
        config: what it is.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        depth, width = config.recurrent
        self.rnn = nn.LSTM(config.dim, width, num_layers=depth, batch_first=True) if depth else None
        self.linear = nn.Linear(width if depth else config.dim, config.outputs)

    def begin(self) -> HeadState:
        """Return zeros, and that no frame was heard."""
        depth, width = self.config.recurrent
        weight = self.linear.weight
        memory = weight.new_zeros(depth, 1, width)
        return memory, memory, torch.zeros((), dtype=torch.int64)

    def advance(self, hidden: Sequence[Tensor], state: HeadState) -> tuple[Decision, HeadState]:
        """Say for every frame of the chunk who speaks."""
        frames = self.mix(hidden)
        if self.rnn is None:
            shares = self.linear(frames).sigmoid()
            return Decision(shares, len(shares)), state
        outputs, place = [], int(state[2])
        while len(frames):
            left = self.config.restart_frames - place if self.config.restart_frames else len(frames)
            memory = state[:2] if place else self.begin()[:2]
            output, after = self.rnn(frames[None, :left], (memory[0], memory[1]))
            outputs.append(output[0])
            place += output.shape[1]
            if place == self.config.restart_frames:
                place = 0
            frames = frames[left:]
            state = (*after, torch.tensor(place))
        shares = self.linear(torch.cat(outputs)).sigmoid()
        return Decision(shares, len(shares)), state
