"""The architecture, read off the tensors; what they cannot tell; what contradicts them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.checkpoint import Checkpoint, expected_shapes, read_architecture, resolve_config
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import CheckpointMismatchError, ConfigError
from streaming_wavlm.model import StreamingWavLM
from tiny import tiny_config
from weights import random_weights

UNREADABLE = {
    "strides", "max_distance", "dropout", "causal", "window_size", "lookahead_size", "chunk_ms", "front_pad",
    "normalize",
}  # fmt: skip


def meta_tensors(config: StreamingWavLMConfig) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in expected_shapes(config).items()}


def checkpoint(tensors, **fields) -> Checkpoint:
    return Checkpoint(dict(tensors), "weights.pt", fields)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv_bias": True},
        {"causal": False, "front_pad": "valid", "final_norm": True},
        {"hidden_dims": (4, 8, 8, 6), "kernel_sizes": (10, 8, 4, 4), "strides": (5, 4, 4, 4)},
    ],
)
def test_the_layout_is_that_of_the_model(changes) -> None:
    config = tiny_config(**changes)
    state = StreamingWavLM(config).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected_shapes(config)


def test_the_full_size_has_its_published_number_of_weights() -> None:
    shapes = expected_shapes(StreamingWavLMConfig())
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == pytest.approx(164.3e6, abs=0.05e6)


@given(
    layers=st.integers(1, 9),
    heads=st.sampled_from([1, 2, 4]),
    head_dim=st.sampled_from([2, 8, 12]),
    ffn=st.integers(1, 70),
    width=st.integers(1, 9),
    conv_pos=st.integers(1, 9),
    buckets=st.sampled_from([4, 32, 320]),
    bias=st.booleans(),
    groups=st.sampled_from([1, 2]),
)
def test_every_readable_field_is_read(
    layers, heads, head_dim, ffn, width, conv_pos, buckets, bias, groups
) -> None:
    config = StreamingWavLMConfig(
        hidden_dims=(width,) * 6 + (width + 1,),
        num_layers=layers,
        dim=heads * head_dim,
        ffn_dim=ffn,
        num_heads=heads,
        num_buckets=buckets,
        conv_pos=conv_pos,
        conv_pos_groups=groups,
        conv_bias=bias,
    )
    found = read_architecture(meta_tensors(config), "x")
    assert set(found) == set(config.field_names()) - UNREADABLE
    resolved, assumed = resolve_config(checkpoint(meta_tensors(config)), {})
    assert resolved == config
    assert set(assumed) == UNREADABLE


def test_a_bare_six_layer_state_dict_needs_no_config() -> None:
    config, assumed = resolve_config(checkpoint(meta_tensors(StreamingWavLMConfig(num_layers=6))), {})
    assert config == StreamingWavLMConfig(num_layers=6)
    assert config.front_pad == "kernel-1"
    assert "front_pad" in assumed


def test_a_final_norm_makes_the_bidirectional_reference() -> None:
    tensors = random_weights(causal=False, front_pad="valid", final_norm=True)
    config, assumed = resolve_config(checkpoint(tensors), {})
    assert (config.causal, config.front_pad, config.final_norm) == (False, "valid", True)
    assert "causal" not in assumed


def test_what_is_stated_goes_over_the_default_and_what_is_given_over_that() -> None:
    stated = checkpoint(random_weights(), max_distance=64, window_size=100, chunk_ms=200)
    config, assumed = resolve_config(stated, {"chunk_ms": 800, "front_pad": "kernel-stride"})
    assert (config.max_distance, config.window_size, config.chunk_ms) == (64, 100, 800)
    assert set(assumed) == {"strides", "dropout", "causal", "lookahead_size", "normalize"}


def test_what_nobody_stated_stays_a_default_until_somebody_gives_it() -> None:
    reloaded = Checkpoint(random_weights(), "x", tiny_config().to_dict(), defaults=("window_size", "strides"))
    assert resolve_config(reloaded, {})[1] == ("strides", "window_size")
    assert resolve_config(reloaded, {"window_size": 99})[1] == ("strides",)


def test_a_config_that_contradicts_the_tensors_lists_each_field() -> None:
    with pytest.raises(CheckpointMismatchError) as caught:
        resolve_config(
            checkpoint(random_weights(), ffn_dim=99),
            {"num_layers": 12, "num_heads": 4, "dim": 16, "window_size": 9},
        )
    message = str(caught.value)
    assert "weights.pt" in message
    assert "num_layers: 2 in the tensors, 12 in the given config" in message
    assert "num_heads: 2 in the tensors, 4 in the given config" in message
    assert "ffn_dim: 32 in the tensors, 99 in the checkpoint's own config" in message
    assert "dim: 16" not in message
    assert "window_size" not in message
    assert "leave them out" in message


def test_causal_true_contradicts_a_final_norm() -> None:
    tensors = random_weights(causal=False, front_pad="valid", final_norm=True)
    with pytest.raises(
        CheckpointMismatchError, match="causal: False in the tensors, True in the given config"
    ):
        resolve_config(checkpoint(tensors), {"causal": True})


def test_another_number_of_convolutions_asks_for_their_strides() -> None:
    shape = {"hidden_dims": (8,) * 4, "kernel_sizes": (10, 8, 4, 4), "strides": (5, 4, 4, 4)}
    tensors = random_weights(**shape)
    with pytest.raises(
        CheckpointMismatchError, match=r"4 front-end convolutions.*give a config with 'strides'"
    ):
        resolve_config(checkpoint(tensors), {})
    config, assumed = resolve_config(checkpoint(tensors), {"strides": [5, 4, 4, 4]})
    assert config.hop == 320
    assert "strides" not in assumed
    with pytest.raises(ConfigError, match="same length, got 4, 4 and 3"):
        resolve_config(checkpoint(tensors), {"strides": [5, 4, 16]})


def test_a_given_value_out_of_range_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="window_size must be a positive integer, got -1"):
        resolve_config(checkpoint(random_weights()), {"window_size": -1})


def test_shapes_that_no_model_has_are_a_mismatch() -> None:
    tensors = random_weights()
    tensors["encoder.relative_embedding.weight"] = torch.zeros(32, 3)
    with pytest.raises(
        CheckpointMismatchError, match="make no possible model: dim must be a multiple of num_heads"
    ):
        resolve_config(checkpoint(tensors), {})


def test_other_tensors_are_no_checkpoint_of_this_model() -> None:
    with pytest.raises(CheckpointMismatchError) as caught:
        read_architecture({f"block.{i}.w": torch.zeros(1) for i in range(20)}, "resnet.pt")
    message = str(caught.value)
    assert "resnet.pt is no checkpoint of a streaming WavLM" in message
    assert "0 front-end and 0 transformer layers" in message
    assert "'encoder.layers.0.attention.qkv_proj.weight'" in message
    assert "block.0.w" in message
    assert "and 12 more" in message


def test_layers_missing_in_between_are_named() -> None:
    tensors = {
        name: value
        for name, value in random_weights(num_layers=5).items()
        if not name.startswith(("encoder.layers.1.", "encoder.layers.3."))
    }
    with pytest.raises(
        CheckpointMismatchError, match=r"encoder.layers up to number 4, but not 1, 3.*save it again"
    ):
        read_architecture(tensors, "x")


def test_an_absurd_layer_number_costs_nothing() -> None:
    tensors = {**random_weights(), "encoder.layers.999999999999.attention.qkv_proj.weight": torch.zeros(1)}
    assert read_architecture(tensors, "x")["num_layers"] == 2
    with pytest.raises(CheckpointMismatchError, match="9999"):
        read_architecture({**random_weights(), "encoder.layers.9999.x": torch.zeros(1)}, "x")
