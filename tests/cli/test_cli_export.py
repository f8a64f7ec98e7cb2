"""``streaming-wavlm export``."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.cli import main
from streaming_wavlm.cli.export import FORMATS, PRECISIONS
from streaming_wavlm.errors import ExportMismatchError
from streaming_wavlm.export import FORMATS as KINDS
from tiny import tiny_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_model(dtype=torch.float32, chunk_ms=200).save_pretrained(folder)
    return str(folder)


def test_the_command_writes_checks_and_reports(checkpoint, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "step.pt2"
    assert main(["export", checkpoint, "--format", "torch", "--out", str(out), "--batch", "dynamic"]) == 0
    text = capsys.readouterr().out
    assert out.is_file()
    assert "fp32, any number of streams" in text
    assert "algorithmic latency" in text
    assert len([line for line in text.splitlines() if line.strip().startswith(("0 ", "1 "))]) == 2
    assert main(["export", checkpoint, "--format", "torch", "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err


def test_what_a_format_cannot_do_is_an_error_of_the_user(checkpoint, tmp_path, capsys) -> None:
    arguments = ["export", checkpoint, "--format", "torch", "--out", str(tmp_path), "--precision", "int8"]
    assert main(arguments) == 2
    assert "it has 'fp32', 'bf16'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments[:-1], "fp32", "--batch", "many"])
    assert "neither 'dynamic' nor a number" in capsys.readouterr().err


def test_the_parser_offers_what_there_is() -> None:
    assert set(FORMATS) == set(KINDS)
    assert {precision for kind in KINDS.values() for precision in kind.precisions} == set(PRECISIONS)


def test_a_file_that_fails_its_check_is_not_left_and_replaces_none(
    checkpoint, tmp_path, capsys, monkeypatch
) -> None:
    def fails(path, model) -> None:
        assert path.is_file()
        raise ExportMismatchError("layer 0 is off")

    monkeypatch.setattr("streaming_wavlm.cli.export._checked", fails)
    out = tmp_path / "step.pt2"
    arguments = ["export", checkpoint, "--format", "torch", "--out", str(out)]
    assert main(arguments) == 2
    assert list(tmp_path.iterdir()) == []
    out.write_bytes(b"what was there")
    assert main([*arguments, "--overwrite"]) == 2
    assert out.read_bytes() == b"what was there"
    assert "layer 0 is off" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["step.pt2"]
