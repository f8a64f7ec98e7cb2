"""A packed state can do what the model's own can, and each takes the place of the other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from streaming_wavlm.engines import PackedModel, make_engine
from streaming_wavlm.engines.cuda_graph import GraphedModel
from streaming_wavlm.engines.packed_state import PackedState
from streaming_wavlm.state import StreamState
from tiny import noise, tiny_model, worst

CHUNK = 3200
WAV = noise(2, 12 * CHUNK)
SINGLE = torch.float32


def running(way: Any, steps: int = 5) -> Any:
    """The state of two streams past their window."""
    state = way.init_state(2)
    for chunk in WAV[:, : steps * CHUNK].to(way.dtype).split(CHUNK, 1):
        _, state = way.step(chunk, state)
    return state


@torch.no_grad()
def going_on(way: Any, state: Any, steps: int = 5) -> float:
    """The relative error of the next chunk, by one pass of the model in float64."""
    wanted = tiny_model(chunk_ms=200)(WAV).hidden_states[-1][:, 10 * steps :][:, :10]
    output, _ = way.step(WAV[:, steps * CHUNK :][:, :CHUNK].to(way.dtype), state)
    return float((output.hidden_states[-1].double() - wanted).norm() / wanted.norm())


WAYS: dict[str, tuple[Callable[[], Any], float]] = {
    "eager float64": (lambda: tiny_model(chunk_ms=200), 1e-10),
    "eager fp32": (lambda: tiny_model(dtype=SINGLE, chunk_ms=200), 1e-5),
    "eager bf16": (lambda: make_engine(tiny_model(dtype=SINGLE, chunk_ms=200), "eager", "bf16"), 0.03),
    "graphed": (lambda: GraphedModel(tiny_model(dtype=SINGLE, chunk_ms=200)), 1e-5),
    "packed float64": (lambda: PackedModel(tiny_model(chunk_ms=200)), 1e-10),
    "packed fp32": (lambda: PackedModel(tiny_model(dtype=SINGLE, chunk_ms=200)), 1e-5),
    "packed bf16": (lambda: PackedModel(tiny_model(dtype=SINGLE, chunk_ms=200), "bf16"), 0.03),
}


@pytest.mark.parametrize("source", WAYS)
def test_a_stream_goes_on_with_any_other_engine(source: str, tmp_path) -> None:
    make, error = WAYS[source]
    with torch.no_grad():
        state = running(make())
        state.save(tmp_path / "state")
        for other, bound in WAYS.values():
            way = other()
            assert going_on(way, state) < max(error, bound)
            assert going_on(way, StreamState.load(tmp_path / "state", way.config)) < max(error, bound)


def test_streams_of_any_engines_are_stacked_in_the_form_of_the_first() -> None:
    with torch.no_grad():
        states = {name: running(make()) for name, (make, _) in WAYS.items()}
        for name, (make, _) in WAYS.items():
            stacked = StreamState.stack([states[name], *states.values()])
            assert type(stacked) is type(states[name])
            assert stacked.batch == 2 * (len(WAYS) + 1)
            pairs = [stacked.select([2 * row, 2 * row + 1]) for row in range(len(WAYS) + 1)]
            assert max(going_on(make(), pair) for pair in pairs) < 0.03
    packed = states["packed fp32"]
    assert isinstance(packed.stack([packed, states["eager fp32"]]), PackedState)


def test_a_packed_state_changes_its_type_and_leaves_for_another_device() -> None:
    engine = PackedModel(tiny_model(dtype=SINGLE, chunk_ms=200))
    state = running(engine)
    assert state.to("cpu") is state.to() is state
    narrow = state.to(dtype=torch.bfloat16)
    assert isinstance(narrow, PackedState)
    assert narrow.dtype == torch.bfloat16
    assert going_on(engine, narrow) < 0.03
    elsewhere = state.to("meta", torch.bfloat16)
    assert isinstance(elsewhere, StreamState)
    assert elsewhere.keys[0].device.type == "meta"
    assert elsewhere.keys[0].dtype == torch.bfloat16


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_copy_is_a_stream_of_its_own(copied: Callable[[PackedState], PackedState]) -> None:
    model = tiny_model(chunk_ms=200)
    engine = PackedModel(model)
    state = running(engine)
    twin = copied(state)
    output, _ = engine.step(WAV[:, 5 * CHUNK :][:, :CHUNK], state)
    engine.step(-WAV[:, :CHUNK], twin)
    again, _ = engine.step(WAV[:, 5 * CHUNK :][:, :CHUNK], twin)
    assert worst(output.hidden_states, again.hidden_states) < 1e-10
    assert twin.rows[0].tape.reel is not state.rows[0].tape.reel
