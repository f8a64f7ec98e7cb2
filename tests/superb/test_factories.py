"""The six names: which chunk each has, what they take, and what they refuse."""

from __future__ import annotations

import logging

import pytest
import torch

from streaming_wavlm.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    UnknownKeyError,
    UnsupportedCheckpointError,
)
from streaming_wavlm.presets import UPSTREAMS
from streaming_wavlm.superb import factories
from tiny import noise, tiny_model, worst

NAMES = {
    "streaming_wavlm": 400,
    "streaming_wavlm_200ms": 200,
    "streaming_wavlm_400ms": 400,
    "streaming_wavlm_800ms": 800,
    "streaming_wavlm_1000ms": 1000,
    "streaming_wavlm_offline": 10_000,
}


def test_there_are_six() -> None:
    assert set(UPSTREAMS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_says_the_chunk(name, checkpoint) -> None:
    factory = getattr(factories, name)
    assert factory.__name__ == name
    upstream = factory(ckpt=str(checkpoint), model_config=None, refresh=False)
    assert upstream.model.config.chunk_ms == NAMES[name]
    assert not upstream.training


def test_the_plain_name_takes_the_chunk_of_the_config(checkpoint) -> None:
    config = {"chunk_ms": 80}
    assert factories.streaming_wavlm(ckpt=checkpoint, model_config=config).model.config.chunk_ms == 80
    assert factories.streaming_wavlm_200ms(ckpt=checkpoint, model_config=config).model.config.chunk_ms == 200


def test_a_model_config_says_what_the_checkpoint_does_not(checkpoint, model_config) -> None:
    plain = factories.streaming_wavlm(ckpt=checkpoint)
    told = factories.streaming_wavlm(ckpt=checkpoint, model_config=str(model_config))
    assert (plain.model.config.window_size, told.model.config.window_size) == (512, 16)
    wav = [noise(16000, dtype=torch.float32)]
    assert worst(plain(wav)["hidden_states"], told(wav)["hidden_states"]) > 1e-4


def test_the_weights_are_those_of_the_checkpoint(checkpoint, model_config) -> None:
    upstream = factories.streaming_wavlm_400ms(ckpt=checkpoint, model_config=model_config)
    reference = tiny_model(dtype=torch.float32, window_size=16)
    wav = noise(9000, dtype=torch.float32)
    assert worst(upstream([wav])["hidden_states"], reference(wav[None]).hidden_states) < 1e-5


def test_further_options_are_ignored_with_a_note(checkpoint, caplog) -> None:
    with caplog.at_level(logging.DEBUG, logger="streaming_wavlm.superb"):
        factories.streaming_wavlm(ckpt=checkpoint, refresh=True, legacy=False, extra=1)
    assert "['extra', 'legacy']" in caplog.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ckpt", [None, "", " "])
def test_a_missing_checkpoint_is_an_error_that_says_what_to_do(name, ckpt) -> None:
    with pytest.raises(CheckpointNotFoundError, match=rf"{name} needs a checkpoint.*-k mini.*convert"):
        getattr(factories, name)(ckpt=ckpt)


def test_bad_checkpoints_and_configs_are_named_errors(checkpoint, tmp_path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="nowhere"):
        factories.streaming_wavlm(ckpt=tmp_path / "nowhere.pt")
    with pytest.raises(UnknownKeyError, match="window_size"):
        factories.streaming_wavlm(ckpt=checkpoint, model_config={"windw_size": 3})
    with pytest.raises(CheckpointMismatchError, match="num_layers"):
        factories.streaming_wavlm(ckpt=checkpoint, model_config={"num_layers": 7})


def test_a_bidirectional_reference_is_refused(tmp_path) -> None:
    tiny_model(dtype=torch.float32, causal=False, front_pad="valid").save_pretrained(tmp_path)
    with pytest.raises(UnsupportedCheckpointError, match="bidirectional"):
        factories.streaming_wavlm_400ms(ckpt=tmp_path)


def test_mini_is_the_embedded_checkpoint() -> None:
    upstream = factories.streaming_wavlm_200ms(ckpt="mini")
    out = upstream([noise(8000, dtype=torch.float32)])
    assert len(out["hidden_states"]) >= 6
    assert out["last_hidden_state"].shape[:2] == (1, 25)
