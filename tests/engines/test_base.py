"""What holds for every engine: its features are ordinary tensors, in whichever mode it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from streaming_wavlm.engines import PackedModel
from streaming_wavlm.engines.cuda_graph import GraphedModel
from tiny import noise, tiny_model, worst

MODEL = tiny_model(chunk_ms=200)
WAV = noise(2, 4 * 3200)


def features(way: Any, kind: str) -> tuple[torch.Tensor, ...]:
    if kind == "forward":
        return way(WAV).hidden_states
    state = way.init_state(2)
    if kind == "finish":
        return way.finish(state, WAV[:, :1000])[0].hidden_states
    active = torch.tensor([True, False]) if kind == "some rows" else None
    weights = [0.5, 0.5] if kind == "weights" else None
    return way.step(WAV[:, :3200], state, active, weights=weights)[0].hidden_states


@pytest.mark.parametrize("kind", ["forward", "step", "some rows", "weights", "finish"])
@pytest.mark.parametrize("make", [PackedModel, GraphedModel])
def test_features_can_train_a_head(make: Any, kind: str) -> None:
    layers = features(make(MODEL), kind)
    assert not any(layer.requires_grad for layer in layers)
    head = torch.nn.Linear(16, 2).double()
    head(layers[-1]).sum().backward()
    assert head.weight.grad is not None


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("make", [PackedModel, GraphedModel])
def test_a_stream_may_change_between_modes(make: Any, first: Any) -> None:
    """What a step in one mode has made is written to in the other."""
    engine = make(MODEL)
    state, pieces = engine.init_state(2), []
    modes = [first, torch.no_grad, torch.inference_mode, torch.enable_grad]
    for mode, chunk in zip(modes, WAV.split(3200, 1), strict=True):
        with mode():
            output, state = engine.step(chunk, state)
            pieces.append(output.hidden_states)
    joined = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
    assert worst(joined, MODEL(WAV).hidden_states) < 1e-10
