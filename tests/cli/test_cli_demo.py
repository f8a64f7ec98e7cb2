"""``demo`` as a command."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from streaming_wavlm.cli import demo, main
from streaming_wavlm.loading import random_model
from tiny import tiny_config, tiny_model


def test_it_prints_a_table_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_SECONDS", 3.0)
    tiny_model().save_pretrained(tmp_path / "c", provenance={"weights": "trained"})
    threads = torch.get_num_threads()
    assert main(["demo", "-k", str(tmp_path / "c"), "--out", str(tmp_path / "out"), "--skip-training"]) == 0
    assert torch.get_num_threads() == threads
    out = capsys.readouterr().out
    rows = [
        line.split()
        for line in out.splitlines()
        if line.strip().startswith(("200 ", "400 ", "800 ", "1000 "))
    ]
    assert [row[0] for row in rows] == ["200", "400", "800", "1000"]
    assert all(float(row[-1]) < 1e-4 for row in rows)
    assert "random" not in out
    assert "Speaker identification" not in out
    assert (tmp_path / "out/streaming.png").read_bytes().startswith(b"\x89PNG")


def test_random_weights_are_called_so_and_scores_stand_beside_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def identify(folder: Path, checkpoint: str, steps: int) -> list[SimpleNamespace]:
        assert (folder, checkpoint, steps) == (tmp_path / "speakers", "random", 9)
        return [
            SimpleNamespace(upstream=name, accuracy=score, chance=0.25, seconds=61.0)
            for name, score in (("streaming_wavlm_400ms", 0.875), ("fbank", 0.75))
        ]

    monkeypatch.setattr(demo, "_SECONDS", 1.0)
    monkeypatch.setattr("streaming_wavlm.demo.speakers.identify_speakers", identify)
    random_model(tiny_config()).save_pretrained(tmp_path / "random")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "-k", "random", "--out", str(tmp_path), "--steps", "9"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("NOTE: random has random weights.")
    assert "streaming_wavlm_400ms -k random" in out
    for part in ("S3PRL's fbank", "87.5%", "75.0%", "25.0%", "(random weights, 1 min 1 s)", "9 steps"):
        assert part in out


@pytest.mark.parametrize("steps", ["0", "-3", "many", "1.5"])
def test_steps_must_be_a_positive_number(steps: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", f"--steps={steps}"])
    assert caught.value.code == 2
