"""``convert`` as a command: folders, ``.pt`` files and the config that goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import streaming_wavlm as sw
from streaming_wavlm.cli import main
from tiny import noise, tiny_model, worst


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model that every conversion gives, and what conversions were asked for."""
    model = tiny_model(
        dtype=torch.float32, front_pad="kernel-stride", window_size=48, strides=(5, 2, 2, 2, 2, 2, 2)
    )
    model.provenance = {"weights": "converted"}
    asked: list[Any] = []

    def convert(source: str, **options: Any) -> Any:
        asked.append((source, options))
        return model

    monkeypatch.setattr("streaming_wavlm.conversion.convert", convert)
    return model, asked


def test_a_folder_loads_by_its_name(
    converted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, asked = converted
    assert main(["convert", "wavlm-large", str(tmp_path / "student"), "--num-layers", "2"]) == 0
    assert asked == [("wavlm-large", {"num_layers": 2, "bidirectional": False})]
    assert "2 layers" in capsys.readouterr().out
    loaded = sw.load(tmp_path / "student")
    assert loaded.config == model.config
    wav = noise(1, 5000, dtype=torch.float32)
    assert worst(loaded(wav).hidden_states, model(wav).hidden_states) == 0


def test_a_pt_comes_with_the_config_that_it_needs(converted: Any, tmp_path: Path) -> None:
    model, _ = converted
    assert main(["convert", "wavlm-large", str(tmp_path / "new/student.pt")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["student.pt", "student.yaml"]
    loaded = sw.load(tmp_path / "new/student.pt", config=tmp_path / "new/student.yaml")
    assert loaded.config == model.config
    wav = noise(1, 5000, dtype=torch.float32)
    assert worst(loaded(wav).hidden_states, model(wav).hidden_states) == 0
    without = sw.load(tmp_path / "new/student.pt")
    assert without.config != model.config  # which is why the command says so


@pytest.mark.parametrize("target", ["student", "student.pt"])
def test_what_is_there_is_not_replaced_unasked(
    converted: Any, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, asked = converted
    command = ["convert", "wavlm-large", str(tmp_path / target)]
    assert main(command) == 0
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert len(asked) == 1
    assert main([*command, "--overwrite", "--bidirectional"]) == 0
    assert asked[-1][1]["bidirectional"] is True


def test_a_target_that_cannot_be_written_is_one_line(
    converted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for target in ("file/student.pt", "file/student"):
        assert main(["convert", "wavlm-large", str(tmp_path / target)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
