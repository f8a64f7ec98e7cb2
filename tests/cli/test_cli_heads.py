"""Heads on the command line: taken out of experiments, listened to in the terminal, served."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lab_heads import CONFIGS, head
from live import live, speech
from streaming_wavlm.cli import main
from streaming_wavlm.cli.heads import add_head_options, open_heads
from streaming_wavlm.cli.stream_display import words
from streaming_wavlm.errors import HeadError, SuperbError
from streaming_wavlm.heads import load_head, save_head
from streaming_wavlm.loading import load
from tiny import tiny_model

CHUNK = 80


@pytest.fixture(scope="module")
def model():
    return tiny_model(3, dtype=torch.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch, model) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMING_WAVLM_TOKEN", raising=False)
    model.save_pretrained(tmp_path / "checkpoint")
    soundfile.write("a.wav", speech(1.23), 16_000)
    for name in CONFIGS:
        save_head(head(name), tmp_path / name)
    return tmp_path


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_head_options(parser, "told")
    return parser.parse_args(list(given))


def test_the_terminal_tells_what_heads_say_as_a_server_does(here, model, capsys) -> None:
    names = [option for name in CONFIGS for option in ("--head", f"./{name}")]
    chunked = ("--chunk-ms", str(CHUNK), "--device", "cpu", "--jsonl")
    assert main(["stream", "a.wav", "-k", "checkpoint", *names, *chunked]) == 0
    own = lines(capsys)
    assert [one["name"] for one in own[0]["heads"]] == list(CONFIGS)
    assert len(own) == 16
    with live(model, chunks=(CHUNK,), heads=[head(name) for name in CONFIGS]) as server:
        named = [option for name in CONFIGS for option in ("--head", name)]
        assert main(["stream", "a.wav", "--server", server.url, *named, *chunked]) == 0
    for mine, theirs in zip(own, lines(capsys), strict=True):
        for one, other in zip(mine["heads"], theirs["heads"], strict=True):
            assert one["name"] == other["name"]
            np.testing.assert_allclose(numbers(one), numbers(other), atol=2e-4)


def numbers(value) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def test_without_heads_nothing_is_told_of_them(here, capsys) -> None:
    assert (
        main(["stream", "a.wav", "-k", "checkpoint", "--chunk-ms", "80", "--device", "cpu", "--jsonl"]) == 0
    )
    assert all("heads" not in line for line in lines(capsys))


def test_what_a_head_says_in_a_few_words() -> None:
    slots = [{"name": "keyword", "label": "yes", "scores": {"yes": 0.9, "no": 0.1}}]
    assert words({"kind": "pooled", "slots": slots}) == "yes 90%"
    assert words({"kind": "frames", "labels": ["SIL", "AA", "AA", "B"]}) == "SIL AA B"
    assert words({"kind": "activity", "scores": {"speaker 1": [0.1, 0.8]}}) == "speaker 1 80%"


def test_the_embedded_head_was_trained_on_the_embedded_checkpoint(caplog) -> None:
    (digits,) = open_heads(options(), "mini")
    assert digits.config.name == "digits"
    assert {"zero", "nine", "silence", "other speech"} <= set(digits.config.slots[0].labels)
    assert digits.config.weights == load("mini").mark(), "train it anew: python tools/train_head.py DATA"
    assert open_heads(options("--head", "none"), "mini") == []
    assert open_heads(options(), "checkpoint.pt") == []
    with pytest.raises(HeadError, match="stands alone"):
        open_heads(options("--head", "none", "--head", "digits"), "mini")


def test_how_far_back_a_head_listens_can_be_chosen(here) -> None:
    (one,) = open_heads(options("--head", "./words", "--head-seconds", "0.5"), "x")
    assert one.config.window_frames == 25
    for seconds in ("0", "-1", "nan", "1e9"):
        with pytest.raises(HeadError, match=r"head-seconds|window_frames"):
            open_heads(options("--head", "./words", "--head-seconds", seconds), "x")
    with pytest.raises(HeadError, match="two of the heads have one name: words, words"):
        open_heads(options("--head", "./words", "--head", "words"), "x")
    with pytest.raises(HeadError, match="there is no head nowhere"):
        open_heads(options("--head", "nowhere"), "x")
    (here / "empty").mkdir()
    with pytest.raises(SuperbError, match="holds no experiment"):
        open_heads(options("--head", "empty"), "x")


def test_a_head_is_taken_out_of_its_experiment(here, model, capsys) -> None:
    arguments = {
        "upstream": "streaming_wavlm_400ms",
        "downstream": "phone_linear",
        "upstream_trainable": False,
        "upstream_feature_normalize": False,
    }
    saved = {
        "Args": argparse.Namespace(**arguments),
        "Config": {"downstream_expert": {"modelrc": {}}},
        "Downstream": {"model.linear.weight": torch.randn(41, 16), "model.linear.bias": torch.zeros(41)},
        "Featurizer": {"weights": torch.zeros(2)},
    }
    (here / "exp").mkdir()
    torch.save(saved, here / "exp" / "states-1.ckpt")
    command = ["superb", "head", "exp", "--out", "out", "--name", "phones", "-k", "checkpoint"]
    assert main(command) == 0
    assert "next: streaming-wavlm serve -k checkpoint --head out" in capsys.readouterr().out
    made = load_head(here / "out")
    assert (made.config.name, made.config.chunk_ms) == ("phones", 400)
    assert made.config.weights == load(here / "checkpoint").mark()
    assert main([*command[:-1], "mini"]) == 2
    assert "hears 2 layers of width 16" in capsys.readouterr().err
