"""``extract`` as a command: options, statuses and what it says at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming_wavlm.cli import main
from tiny import tiny_model


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        soundfile.write(
            tmp_path / f"in/{name}.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000
        )
    return tmp_path


def extract(*options: str) -> int:
    return main(["extract", "in", "-k", "checkpoint", "--out", "out", "--device", "cpu", *options])


def test_it_extracts_then_skips(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--format", "npy", "--layers", "1", "--stream", "--chunk-ms", "200") == 0
    assert "2 recordings (0:00:02" in capsys.readouterr().out
    assert np.load(here / "out/a.npy").shape == (1, 50, 16)
    assert extract("--format", "npy", "--layers", "1", "--chunk-ms", "200") == 0
    assert "2 were there already" in capsys.readouterr().out
    assert (
        extract(
            "--format",
            "npy",
            "--layers=-1,0",
            "--dtype",
            "bfloat16",
            "--save-dtype",
            "float16",
            "--overwrite",
        )
        == 0
    )
    assert np.load(here / "out/a.npy").dtype == np.float16
    assert np.load(here / "out/a.npy").shape == (2, 50, 16)


def test_unreadable_files_are_listed_at_the_end_and_the_status_is_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "in/broken.wav").write_text("no audio")
    assert extract("--layers", "all") == 1
    said = capsys.readouterr()
    assert "2 recordings" in said.out
    assert "1 could not be read:\n" in said.err
    assert "broken.wav" in said.err.splitlines()[-1]


def test_another_checkpoint_in_the_same_folder_is_an_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract() == 0
    tiny_model(seed=1).save_pretrained(here / "checkpoint")
    capsys.readouterr()
    assert extract() == 2
    assert "other settings: weights" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--layers=9", "--device=cuda:99"])
def test_impossible_options_are_one_line(here: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(option) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (here / "out").exists()


@pytest.mark.parametrize("option", ["--layers=first", "--layers=0,,1", "--format=hdf5", "--dtype=int8"])
def test_malformed_options_are_usage_errors(option: str, here: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        extract(option)
    assert caught.value.code == 2
