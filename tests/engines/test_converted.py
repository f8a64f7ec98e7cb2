"""An engine in another type has weights of its own: the caller's model stays as it was."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.engines import choose, make_engine
from streaming_wavlm.engines.converted import converted
from streaming_wavlm.engines.cuda_graph import GraphedModel
from tiny import noise, tiny_model

MAKE = {
    "eager": lambda model: make_engine(model, "eager", "bf16"),
    "cuda_graph": lambda model: GraphedModel(model, "bf16"),
}


@pytest.mark.parametrize("name", MAKE)
def test_the_model_of_the_caller_is_left_as_it_is(name) -> None:
    model = tiny_model(dtype=torch.float32, chunk_ms=200)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    engine = MAKE[name](model)
    assert engine.dtype == torch.bfloat16
    assert engine(noise(1, 3200)).hidden_states[0].dtype == torch.bfloat16
    after = model.state_dict()
    assert all(after[name].dtype == torch.float32 and after[name].equal(before[name]) for name in before)


def test_so_it_is_when_engines_are_tried(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = tiny_model(dtype=torch.float32)
    choose(model, "bf16", make_engine)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_a_copy_has_all_that_the_model_has() -> None:
    model = tiny_model(dtype=torch.float32)
    model.provenance = {"weights": "random"}
    model.norm.weight.requires_grad_(False)
    twin = converted(model, torch.bfloat16)
    assert (twin.config, twin.provenance, twin.training) == (model.config, model.provenance, False)
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].bfloat16())
    twin(noise(1, 3200)).last_hidden_state.sum().backward()
    assert converted(twin, torch.bfloat16) is twin
