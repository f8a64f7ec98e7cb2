"""The config: what it computes, what it refuses, how it is spelt."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import ConfigError, UnknownKeyError
from streaming_wavlm.presets import CHUNK_MS, PRESETS


def test_the_default_is_the_published_architecture() -> None:
    config = StreamingWavLMConfig()
    assert (config.hop, config.receptive_field, config.block_frames) == (320, 400, 4)
    assert (config.num_layers, config.dim, config.num_heads, config.window_size) == (12, 1024, 16, 512)
    assert config == StreamingWavLMConfig.preset("large")


@pytest.mark.parametrize(("chunk_ms", "frames"), [(200, 10), (400, 20), (800, 40), (1000, 50), (10_000, 500)])
def test_the_chunk_sizes(chunk_ms, frames) -> None:
    config = StreamingWavLMConfig(chunk_ms=chunk_ms)
    assert (config.chunk_frames, config.chunk_samples) == (frames, frames * 320)
    assert chunk_ms in CHUNK_MS.values()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_takes_changes(name) -> None:
    assert StreamingWavLMConfig.preset(name, chunk_ms=200).chunk_ms == 200


@pytest.mark.parametrize(
    ("front_pad", "lookahead", "chunk_ms", "expected"),
    [
        ("kernel-1", 3, 400, (419.9375, 19.9375, 60)),
        ("kernel-stride", 3, 400, (400, 0, 60)),
        ("kernel-stride", "chunk", 200, (200, 0, 180)),
        ("kernel-1", 3, 20, (39.9375, 19.9375, 0)),
        ("kernel-stride", 0, 800, (800, 0, 0)),
    ],
)
def test_the_latency(front_pad, lookahead, chunk_ms, expected) -> None:
    config = StreamingWavLMConfig(front_pad=front_pad, lookahead_size=lookahead, chunk_ms=chunk_ms)
    latency = config.latency
    assert (latency.algorithmic_ms, latency.front_end_ms, latency.lookahead_ms) == expected


def test_a_bidirectional_config_has_no_latency() -> None:
    with pytest.raises(ConfigError, match="needs the whole recording"):
        _ = StreamingWavLMConfig(causal=False, front_pad="valid").latency


@given(st.integers(0, 10**7))
def test_frames_cover_every_sample(samples) -> None:
    config = StreamingWavLMConfig()
    frames = config.num_frames(samples)
    assert (frames - 1) * 320 < samples <= frames * 320 or samples == frames == 0


def test_lists_are_taken_for_tuples_and_json_gives_the_config_back() -> None:
    config = StreamingWavLMConfig(hidden_dims=[8] * 7, lookahead_size="chunk", dropout=0)
    assert config.hidden_dims == (8,) * 7
    again = StreamingWavLMConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


def test_equal_configs_and_no_others_have_equal_fingerprints() -> None:
    config = StreamingWavLMConfig()
    assert config.fingerprint() == StreamingWavLMConfig(dropout=0).fingerprint()
    assert config.fingerprint() != StreamingWavLMConfig(max_distance=801).fingerprint()
    assert config.fingerprint() != StreamingWavLMConfig(front_pad="kernel-stride").fingerprint()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"num_layers": True}, "num_layers must be a positive integer, got True"),
        ({"dim": 12.0}, "dim must be a positive integer, got 12.0"),
        ({"window_size": None}, "window_size must be a positive integer, got None"),
        ({"causal": 1}, "causal must be true or false, got 1"),
        ({"hidden_dims": 512}, "hidden_dims must be a list of positive integers, got 512"),
        ({"hidden_dims": "512"}, "hidden_dims must be a list"),
        ({"strides": []}, "strides must be a list of positive integers"),
        ({"strides": [5, 2, 2, 2, 2, 2, True]}, "strides must be a list of positive integers"),
        ({"strides": [5, 2]}, "same length, got 7, 7 and 2"),
        ({"kernel_sizes": [4, 3, 3, 3, 3, 2, 2]}, "kernel must be at least its stride"),
        ({"num_heads": 15}, "dim must be a multiple of num_heads, got 1024 and 15"),
        ({"conv_pos_groups": 3}, "dim must be a multiple of conv_pos_groups"),
        ({"num_buckets": 30}, "num_buckets must be a multiple of 4"),
        ({"max_distance": 80}, "max_distance above a quarter"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": "none"}, r"dropout must be in \[0, 1\), got 'none'"),
        ({"dropout": float("nan")}, "dropout must be in"),
        ({"lookahead_size": -1}, "lookahead_size must be a number of frames from 0"),
        ({"lookahead_size": "block"}, "or \"chunk\", got 'block'"),
        ({"lookahead_size": 512}, "must be below window_size"),
        ({"front_pad": "same"}, "front_pad must be"),
        ({"front_pad": "valid"}, "a causal config needs front_pad"),
        ({"chunk_ms": 30}, "chunk_ms must be a multiple of the hop .20 ms., got 30"),
        ({"chunk_ms": "400"}, "chunk_ms must be a positive integer, got '400'"),
        ({"final_norm": True}, "belongs to the bidirectional reference"),
        ({"normalize": True}, "not causal"),
        ({"causal": False}, 'has front_pad "valid"'),
    ],
)
def test_what_no_model_can_have_is_refused(changes, words) -> None:
    with pytest.raises(ConfigError, match=words):
        StreamingWavLMConfig(**changes)


def test_a_preset_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="'base'; there are 'large', 'mini'"):
        StreamingWavLMConfig.preset("base")


@pytest.mark.parametrize(
    "values",
    [
        {"num_layers": 6, "dim": 512},
        {"wavlm": {"num_layers": 6, "dim": 512}},
        {"student_num_layers": 6, "student_dim": 512},
        {"wavlm": {"student_num_layers": 6, "dim": 512}},
    ],
)
def test_fields_are_read_flat_nested_and_prefixed(values) -> None:
    config = StreamingWavLMConfig.from_dict(values)
    assert config == StreamingWavLMConfig(num_layers=6, dim=512)


def test_fields_that_only_change_how_others_compute_are_ignored_with_a_note(caplog) -> None:
    with caplog.at_level(logging.INFO):
        config = StreamingWavLMConfig.from_dict({"max_cached_steps": 4, "student_use_flex_attention": True})
    assert config == StreamingWavLMConfig()
    assert "max_cached_steps" in caplog.text
    assert "student_use_flex_attention" in caplog.text


def test_a_base_gives_what_is_not_given() -> None:
    base = StreamingWavLMConfig.preset("mini")
    assert StreamingWavLMConfig.from_dict({"chunk_ms": 200}, base) == base.replace(chunk_ms=200)


@pytest.mark.parametrize(
    ("key", "nearest"), [("num_layer", "num_layers"), ("window", "window_size"), ("frontpad", "front_pad")]
)
def test_an_unknown_key_names_the_nearest_and_all(key, nearest) -> None:
    with pytest.raises(UnknownKeyError) as caught:
        StreamingWavLMConfig.from_dict({key: 1})
    assert f"the key {key!r}, which is no field; did you mean {nearest!r}?" in str(caught.value)
    assert "the fields are hidden_dims, kernel_sizes" in str(caught.value)


def test_an_unknown_key_far_from_all_offers_none() -> None:
    with pytest.raises(UnknownKeyError) as caught:
        StreamingWavLMConfig.from_dict({"zzz": 1})
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"wavlm": {"dim": 8}, "chunk_ms": 200}, "a 'wavlm' section and, beside it, 'chunk_ms'"),
        ({"dim": 8, "student_dim": 8}, "gives 'dim' twice"),
        ({"wavlm": None}, "must be a mapping of fields, got NoneType"),
        ([1], "must be a mapping of fields, got list"),
    ],
)
def test_malformed_mappings_are_refused(values, words) -> None:
    with pytest.raises(ConfigError, match=words):
        StreamingWavLMConfig.from_dict(values)


@pytest.mark.parametrize("size", [10**13, 10**30])
@pytest.mark.parametrize("name", ["window_size", "chunk_ms", "dim", "max_distance", "lookahead_size"])
def test_numbers_beyond_any_model_are_refused(name, size) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be at most \d+, got 1000"):
        StreamingWavLMConfig(**{name: size})
    with pytest.raises(ConfigError, match="strides must be a list of positive integers up to"):
        StreamingWavLMConfig(strides=(size,) * 7)
