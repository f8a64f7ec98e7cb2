"""Tensors held against the architecture."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.checkpoint import check_tensors
from streaming_wavlm.errors import CheckpointCorruptError, CheckpointMismatchError
from tiny import tiny_config
from weights import random_weights

CONFIG = tiny_config()
NAME = "encoder.layers.1.attention.qkv_proj.weight"


def refusal(tensors, kind: type[Exception] = CheckpointMismatchError) -> str:
    with pytest.raises(kind) as caught:
        check_tensors(tensors, CONFIG, "weights.pt")
    return str(caught.value)


def test_a_whole_checkpoint_passes() -> None:
    check_tensors(random_weights(), CONFIG, "x")


def test_half_of_the_keys_missing_is_counted_and_listed_in_part() -> None:
    tensors = dict(list(random_weights().items())[::2])
    message = refusal(tensors)
    assert "weights.pt" in message
    assert "29 tensors were found, 58 expected" in message
    assert "29 missing: feature_extractor.layers.0.norm.weight" in message
    assert "and 21 more" in message
    assert "Nothing was loaded" in message
    assert len(message) < 1000


def test_unexpected_and_misshapen_tensors_are_listed_too() -> None:
    tensors = {**random_weights(), "head.weight": torch.zeros(3), NAME: torch.zeros(48, 15)}
    message = refusal(tensors)
    assert "1 unexpected: head.weight" in message
    assert f"1 misshapen: {NAME} (found [48, 15], expected [48, 16])" in message
    assert "missing" not in message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_weights_of_any_usual_width_pass(dtype) -> None:
    check_tensors({name: value.to(dtype) for name, value in random_weights().items()}, CONFIG, "x")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_another_type_are_refused_by_name(dtype) -> None:
    tensors = random_weights()
    message = refusal({**tensors, NAME: tensors[NAME].to(dtype)})
    assert NAME in message
    assert str(dtype) in message
    assert "float16, bfloat16, float32, float64" in message


def test_a_sparse_or_empty_tensor_is_refused() -> None:
    tensors = random_weights()
    assert "sparse" in refusal({**tensors, NAME: tensors[NAME].to_sparse()})
    assert "on meta" in refusal({**tensors, NAME: tensors[NAME].to("meta")})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value) -> None:
    tensors = random_weights()
    tensors[NAME][0, :3] = value
    message = refusal(tensors, CheckpointCorruptError)
    assert f"3 of the 768 values of {NAME} are NaN or infinite" in message
    assert "earlier checkpoint" in message
