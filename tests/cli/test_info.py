"""``info``: everything there is to know of a checkpoint, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from streaming_wavlm.cli import main
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.loading import random_model
from streaming_wavlm.model import StreamingWavLM
from tiny import tiny_config, tiny_model


def test_it_tells_architecture_latency_and_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model(chunk_ms=800).save_pretrained(tmp_path / "c", provenance={"weights": "trained", "steps": 7})
    monkeypatch.setattr(StreamingWavLM, "forward", None)  # it must not be run
    assert main(["info", str(tmp_path / "c")]) == 0
    out = capsys.readouterr().out
    for part in (
        "2 layers, width 16, 2 heads, feed-forward 32", "800 ms, 40 frames", "819.938 ms algorithmic",
        "window 32 frames", "its block of 4 frames", "weights: trained", "steps: 7", "defaults      none",
    ):  # fmt: skip
        assert part in out
    assert "random weights" not in out


def test_it_names_the_fields_that_took_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bare.pt"
    torch.save(tiny_model().state_dict(), path)
    assert main(["info", str(path)]) == 0
    defaults = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("defaults"))
    for field in ("strides", "window_size", "lookahead_size", "max_distance", "front_pad"):
        assert field in defaults
    assert "num_layers" not in defaults


def test_it_says_random_weights_in_so_many_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_model(tiny_config()).save_pretrained(tmp_path / "random")
    assert main(["info", str(tmp_path / "random")]) == 0
    assert "random weights" in capsys.readouterr().out
    assert main(["info", "mini"]) == 0
    out = capsys.readouterr().out
    assert "random weights" not in out
    assert len(out.splitlines()) < 40


def test_json_holds_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path / "c")
    assert main(["info", str(tmp_path / "c"), "--json", "--chunk-ms", "200"]) == 0
    told = json.loads(capsys.readouterr().out)
    config = StreamingWavLMConfig.from_dict(told["config"])
    assert config == model.config.replace(chunk_ms=200)
    assert told["fingerprint"] == config.fingerprint()
    assert told["parameters"] == model.num_parameters()
    assert told["latency"]["algorithmic_ms"] == config.latency.algorithmic_ms


def test_the_bidirectional_reference_has_no_latency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_model(causal=False, front_pad="valid").save_pretrained(tmp_path / "c")
    assert main(["info", str(tmp_path / "c")]) == 0
    assert "the whole recording" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "c"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency"] is None


def test_a_checkpoint_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.pt"
    empty.touch()
    for source in (tmp_path / "missing.pt", empty):
        assert main(["info", str(source)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert str(source) in error
