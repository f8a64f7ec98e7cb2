"""The state as a value: immutable, portable, and refused where it does not belong."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils import _pytree as pytree

from streaming_wavlm.errors import StateError, StateMismatchError
from streaming_wavlm.state import StreamState, initial_state
from tiny import noise, tiny_config, tiny_model


def running_state(batch: int = 3, seed: int = 0) -> StreamState:
    model = tiny_model(chunk_ms=80)
    with torch.inference_mode():
        state = model.init_state(batch)
        for index in range(3):
            _, state = model.step(noise(batch, 1280, seed=seed + index), state)
    return state


def equal(a: StreamState, b: StreamState) -> bool:
    pairs = zip(pytree.tree_leaves(a), pytree.tree_leaves(b), strict=True)
    return a.fingerprint == b.fingerprint and all(torch.equal(x, y) for x, y in pairs)


def test_a_step_changes_nothing_in_the_state_it_was_given() -> None:
    model = tiny_model(chunk_ms=80)
    with torch.inference_mode():
        _, state = model.step(noise(2, 1280), model.init_state(2))
        before = pytree.tree_map(torch.clone, state)
        model.step(noise(2, 1280, seed=1), state)
        model.step(noise(2, 1280, seed=1), state, torch.tensor([True, False]))
        model.finish(state, noise(2, 700))
        state.reset([0])
    assert equal(state, before)


def test_a_state_cannot_be_assigned_to() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        running_state().position = torch.zeros(3)  # type: ignore[misc]


def test_inactive_rows_come_back_bit_for_bit() -> None:
    model = tiny_model(chunk_ms=80)
    state = running_state()
    with torch.inference_mode():
        _, after = model.step(noise(3, 1280), state, torch.tensor([False, True, False]))
    assert equal(after.select([0, 2]), state.select([0, 2]))
    assert not equal(after.select([1]), state.select([1]))


def test_reset_makes_rows_as_new_and_leaves_the_others() -> None:
    state = running_state()
    reset = state.reset(torch.tensor([True, False, True]))
    assert equal(reset.select([0]), tiny_model(chunk_ms=80).init_state(1))
    assert equal(reset.select([1]), state.select([1]))
    assert equal(reset, state.reset([2, 0]))


def test_select_and_stack_are_each_others_inverse() -> None:
    state = running_state()
    parts = [state.select([row]) for row in range(3)]
    assert equal(StreamState.stack(parts), state)
    assert equal(state.select([2, 2]), StreamState.stack([parts[2], parts[2]]))


def test_rows_that_do_not_exist_are_refused() -> None:
    state = running_state()
    with pytest.raises(StateError, match="between 0 and 2"):
        state.select([3])
    with pytest.raises(StateError, match="mask must have shape"):
        state.reset(torch.tensor([True]))
    with pytest.raises(StateError, match="at least one"):
        StreamState.stack([])


def test_states_of_different_configs_are_not_stacked_or_used() -> None:
    model = tiny_model(chunk_ms=80)
    other = tiny_model(chunk_ms=160).init_state(1)
    with pytest.raises(StateMismatchError, match="different configs"):
        StreamState.stack([model.init_state(1), other])
    with pytest.raises(StateMismatchError, match="chunk size that made it"):
        model.step(noise(1, 1280), other)


def test_saved_and_loaded_states_are_equal(tmp_path) -> None:
    state = running_state()
    state.save(tmp_path / "state.safetensors")
    assert equal(StreamState.load(tmp_path / "state.safetensors", tiny_config(chunk_ms=80)), state)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_file_in_the_home_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    state = running_state()
    state.save("~/state")
    assert equal(StreamState.load("~/state", tiny_config(chunk_ms=80)), state)
    assert (tmp_path / "state").is_file()
    with pytest.raises(StateError, match="no home"):
        state.save("~nobody-of-that-name/state")


def test_loading_into_another_config_is_refused(tmp_path) -> None:
    running_state().save(tmp_path / "state")
    with pytest.raises(StateMismatchError, match="another config"):
        StreamState.load(tmp_path / "state", tiny_config(chunk_ms=80, window_size=31))


@pytest.mark.parametrize("content", [b"", b"not a state", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path, content) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(StateError, match="cannot read a stream state"):
        StreamState.load(tmp_path / "state", tiny_config())


def test_a_missing_folder_or_file_is_a_state_error(tmp_path) -> None:
    with pytest.raises(StateError, match="cannot write"):
        running_state().save(tmp_path / "nowhere" / "state")
    with pytest.raises(StateError, match="cannot read"):
        StreamState.load(tmp_path / "none", tiny_config())


def test_a_file_with_other_tensors_is_refused(tmp_path) -> None:
    from safetensors.torch import save_file

    config = tiny_config()
    metadata = {"format": "streaming_wavlm.state.v1", "fingerprint": config.fingerprint()}
    save_file({"position": torch.zeros(1, dtype=torch.int64)}, tmp_path / "state", metadata)
    with pytest.raises(StateError, match="damaged"):
        StreamState.load(tmp_path / "state", config)
    save_file({"position": torch.zeros(1)}, tmp_path / "other", {"format": "something else"})
    with pytest.raises(StateError, match="no stream state"):
        StreamState.load(tmp_path / "other", config)


DAMAGE = {
    "a position without rows": ("position", torch.tensor(3)),
    "a position in two dimensions": ("position", torch.zeros(3, 1, dtype=torch.int64)),
    "positions in floating point": ("position", torch.tensor([1.0, 2.0, 3.0])),
    "a negative position": ("position", torch.tensor([1, -2, 3])),
    "keys that are integers": ("keys.1", torch.zeros(3, 2, 32, 8, dtype=torch.int32)),
    "values that are not finite": ("values.0", torch.full((3, 2, 32, 8), float("nan"))),
    "a context that is infinite": ("pos_conv", torch.full((3, 16, 7), float("inf"))),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_with_other_types_or_values_is_refused(tmp_path, kind: str) -> None:
    from safetensors.torch import save_file

    state = running_state()
    name, tensor = DAMAGE[kind]
    tensors = {**dict(zip(state.names(), state.tensors(), strict=True)), name: tensor}
    metadata = {"format": "streaming_wavlm.state.v1", "fingerprint": state.fingerprint}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "state", metadata)
    with pytest.raises(StateError, match="damaged"):
        StreamState.load(tmp_path / "state", tiny_config(chunk_ms=80))


def test_positions_stay_integers_in_every_precision() -> None:
    state = running_state().to(dtype=torch.bfloat16)
    assert state.position.dtype == torch.int64
    assert state.pos_conv.dtype == state.keys[0].dtype == torch.bfloat16


def test_the_memory_of_a_state_does_not_depend_on_how_far_it_went() -> None:
    fresh = initial_state(tiny_config(chunk_ms=80), 3, torch.device("cpu"), torch.float64)
    assert running_state().nbytes() == fresh.nbytes()


def test_a_state_is_a_pytree() -> None:
    state = running_state()
    leaves, spec = pytree.tree_flatten(state)
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    assert equal(pytree.tree_unflatten(leaves, spec), state)
