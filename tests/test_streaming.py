"""What is common to all that streams: how the hidden states of feeds are put together."""

from __future__ import annotations

import torch

from streaming_wavlm.streaming import joined, masked


def test_joined_feeds_are_the_whole_and_are_let_go() -> None:
    layers = [torch.randn(2, 7, 3) for _ in range(4)]
    pieces = [[layer[:, :3], layer[:, 3:3], layer[:, 3:]] for layer in layers]
    frames = torch.tensor([7, 4])
    output = joined(pieces, frames)
    wanted = masked(layers, frames)
    assert output.lengths.tolist() == [7, 4]
    for ours, layer, cleared in zip(output.hidden_states, layers, wanted.hidden_states, strict=True):
        assert torch.equal(ours, cleared)
        assert not torch.equal(ours, layer)
    assert pieces == [[], [], [], []]  # a long recording's features are not in memory twice
