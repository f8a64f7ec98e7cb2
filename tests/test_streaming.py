"""What is common to all that streams: how the hidden states of feeds are put together."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.streaming import Joined, masked


@pytest.mark.parametrize("training", [False, True])
def test_joined_feeds_are_the_whole_with_what_is_past_the_end_cleared(training: bool) -> None:
    layers = [torch.randn(2, 7, 3, requires_grad=training) for _ in range(4)]
    frames = torch.tensor([7, 4])
    joined = Joined(7)
    for start, end in ((0, 3), (3, 3), (3, 7)):
        joined.append([layer[:, start:end] for layer in layers])
    output, wanted = joined.output(frames), masked(layers, frames)
    assert output.lengths.tolist() == [7, 4]
    for ours, cleared, layer in zip(output.hidden_states, wanted.hidden_states, layers, strict=True):
        assert torch.equal(ours, cleared)
        assert not torch.equal(ours, layer)
        if not training:
            continue
        weights = torch.randn_like(ours)
        (found,), (exact,) = (
            torch.autograd.grad((whole * weights).sum(), layer) for whole in (ours, cleared)
        )
        assert torch.equal(found, exact)
