"""What holds for every engine: its features are ordinary tensors, in whichever mode it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from streaming_wavlm.engines import PackedModel, make_engine
from streaming_wavlm.engines.cuda_graph import GraphedModel
from streaming_wavlm.state import StreamState
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


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_engine_on_the_cpu_stays_there_whatever_the_default_device(precision: str) -> None:
    model = tiny_model(dtype=torch.float32, chunk_ms=200)
    wav = WAV.float()
    with torch.device("meta"):
        engine = make_engine(model, "packed", precision)
        _, state = engine.step(wav[:, :3200], engine.init_state(2))
        output, after = engine.finish(engine.step(wav[:, 3200:6400], state)[1], wav[:, 6400:9000])
        moved = StreamState.stack([model._adopt(after), state])
        whole = engine(wav)
        ended, _ = model.finish(model.init_state(2), wav[:, :1000])
    tensors = [*output.hidden_states, *whole.hidden_states, *ended.hidden_states, *moved.tensors()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    error = float((whole.last_hidden_state - model(wav).last_hidden_state).detach().abs().max())
    assert error < (1e-4 if precision == "fp32" else 0.3)
