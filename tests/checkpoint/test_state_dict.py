"""Finding the weights in what training scripts save."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from streaming_wavlm.checkpoint import find_state_dict, fold_weight_norm, published_names, read_checkpoint
from streaming_wavlm.errors import CheckpointMismatchError, UnsupportedCheckpointError
from weights import random_weights

POS_CONV = "encoder.positional_embedding.conv"


def same(found, expected) -> bool:
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


@given(
    st.lists(st.sampled_from(["module.", "model.", "wavlm.", "student.", "_orig_mod."]), max_size=5).map(
        "".join
    )
)
def test_prefixes_come_off_in_any_order(prefix) -> None:
    expected = random_weights()
    assert same(published_names({prefix + name: value for name, value in expected.items()}, "x"), expected)


def test_a_compiled_part_inside_is_seen_through() -> None:
    expected = random_weights()
    compiled = {name.replace("encoder.", "encoder._orig_mod."): value for name, value in expected.items()}
    assert same(published_names(compiled, "x"), expected)


def test_two_models_in_one_state_dict_are_refused() -> None:
    tensors = random_weights()
    both = {
        **{f"student.{name}": value for name, value in tensors.items()},
        "model.norm.weight": torch.zeros(8),
    }
    with pytest.raises(CheckpointMismatchError, match=r"both 'student.norm.weight' and 'model.norm.weight'"):
        published_names(both, "x")


@pytest.mark.parametrize("name", ["student_state_dict", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ""])
def test_a_training_checkpoint_is_read_by_what_it_holds_not_by_its_name(
    tmp_path, name, suffix, caplog
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save({"optimizer": {"state": {}}, name: random_weights(), "step": 3}, path)
    with caplog.at_level(logging.INFO):
        checkpoint = read_checkpoint(path)
    assert same(checkpoint.tensors, random_weights())
    assert "optimizer, step" in caplog.text
    assert checkpoint.provenance == {"weights": "loaded", "file": path.name}


def test_the_student_is_preferred() -> None:
    contents = {"state_dict": {"a": torch.zeros(1)}, "student_state_dict": {"b": torch.ones(1)}}
    assert set(find_state_dict(contents, "x")) == {"b"}


def test_a_bare_state_dict_of_either_format_is_read(tmp_path) -> None:
    torch.save(random_weights(), tmp_path / "a.pt")
    save_file(random_weights(), tmp_path / "wrong_name.pt")
    for path in (tmp_path / "a.pt", tmp_path / "wrong_name.pt"):
        assert same(read_checkpoint(path).tensors, random_weights())


def test_what_is_read_is_not_taken_from_a_device_that_is_not_here(tmp_path) -> None:
    torch.save(random_weights(), tmp_path / "a.pt")
    assert {tensor.device.type for tensor in read_checkpoint(tmp_path / "a.pt").tensors.values()} == {"cpu"}


@pytest.mark.parametrize("dim", [0, 2, None])
@pytest.mark.parametrize("style", ["old", "new"])
def test_weight_normalisation_is_multiplied_out(style, dim) -> None:
    conv = nn.Conv1d(6, 6, 4, groups=2)
    if style == "new":
        nn.utils.parametrizations.weight_norm(conv, dim=dim)
        nn.init.uniform_(conv.parametrizations.weight.original0, 0.5, 2)
    else:
        with pytest.warns(FutureWarning):
            nn.utils.weight_norm(conv, dim=dim)
        nn.init.uniform_(conv.weight_g, 0.5, 2)
        conv(torch.zeros(1, 6, 4))  # it computes its weight on the way
    state = {f"{POS_CONV}.{name}": value for name, value in conv.state_dict().items()}
    assert f"{POS_CONV}.weight" not in state
    folded = fold_weight_norm(state, "x")
    assert set(folded) == {f"{POS_CONV}.weight", f"{POS_CONV}.bias"}
    assert torch.allclose(folded[f"{POS_CONV}.weight"], conv.weight, atol=1e-6)


def test_half_precision_is_multiplied_out_in_single_precision() -> None:
    direction = torch.randn(4, 4, 4, dtype=torch.float16)
    folded = fold_weight_norm(
        {"c.weight_g": torch.ones(1, 1, 4, dtype=torch.float16), "c.weight_v": direction}, "x"
    )
    assert folded["c.weight"].dtype == torch.float32


@pytest.mark.parametrize("magnitude", [torch.ones(1, 1, 5), torch.ones(3), torch.ones(1, 1, 4, 1)])
def test_halves_that_do_not_fit_are_refused(magnitude) -> None:
    pair = {"c.weight_g": magnitude, "c.weight_v": torch.ones(4, 4, 4)}
    with pytest.raises(
        CheckpointMismatchError, match=r"c.weight_g is one half of a weight norm.*does not fit"
    ):
        fold_weight_norm(pair, "x")


def test_one_half_alone_stays_and_is_reported_as_unexpected() -> None:
    assert set(fold_weight_norm({"c.weight_g": torch.ones(1, 1, 4)}, "x")) == {"c.weight_g"}


@pytest.mark.parametrize(
    "name",
    [
        "feature_projection.projection.weight",
        "wavlm.encoder.pos_conv_embed.conv.bias",
        "post_extract_proj.weight",
        "encoder.layers.0.self_attn.q_proj.weight",
    ],
)
def test_the_names_of_an_offline_wavlm_are_recognised(name) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"offline WavLM.*streaming_wavlm\.convert"):
        published_names({name: torch.zeros(1)}, "x")


def test_a_dict_that_holds_itself_is_refused() -> None:
    contents: dict = {}
    contents["model"] = {"state_dict": contents}
    with pytest.raises(
        CheckpointMismatchError, match=r"x \[model\] \[state_dict\] is a dict that holds itself"
    ):
        find_state_dict(contents, "x")


@pytest.mark.parametrize("kind", ["float8", "sparse", "meta"])
@pytest.mark.parametrize("half", ["c.weight_g", "c.weight_v"])
def test_a_weight_normalisation_of_an_odd_type_is_refused(kind, half) -> None:
    odd = {
        "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
        "sparse": lambda tensor: tensor.to_sparse(),
        "meta": lambda tensor: tensor.to("meta"),
    }[kind]
    pair = {"c.weight_g": torch.ones(1, 1, 4), "c.weight_v": torch.ones(3, 2, 4)}
    pair[half] = odd(pair[half])
    with pytest.raises(CheckpointMismatchError, match="weight normalisation"):
        fold_weight_norm(pair, "x")
