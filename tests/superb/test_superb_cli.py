"""The subcommand: its own options, and everything after ``run`` left to S3PRL."""

from __future__ import annotations

import pytest

from streaming_wavlm.cli import main
from streaming_wavlm.superb import corpora, launcher
from streaming_wavlm.superb.corpora import Prepared


def test_everything_after_run_is_passed_on(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(launcher, "launch", lambda argv, debug: seen.append((argv, debug)) or 7)
    argv = [
        "-m",
        "train",
        "-u",
        "fbank",
        "-o",
        "config.a=1,,config.b=-2",
        "--device",
        "cpu",
        "-v",
        "x",
        "--debug",
    ]
    assert main(["superb", "run", *argv]) == 7
    assert main(["--debug", "superb", "run"]) == 7
    assert seen == [(argv, False), ([], True)]


def test_help_of_run_is_ours_and_then_s3prls(monkeypatch, capsys) -> None:
    monkeypatch.setattr(launcher, "launch", lambda argv, debug: 0)
    assert main(["superb", "run", "-h"]) == 0
    assert "streaming_wavlm_offline" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "folder"), [([], "data/voxceleb1"), (["--out", "there"], "there")])
def test_prepare_says_what_it_made_and_what_to_type(option, folder, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []

    def pretend(task, source, out, seed):
        asked.append((task, source, str(out), seed))
        counts, voices = {"train": 4, "dev": 2, "test": 2}, {"id10001": "allison", "id10002": "june"}
        return Prepared(out, counts, {"silent": 3}, 0.5, voices, ("four voices",))

    monkeypatch.setattr(corpora, "prepare", pretend)
    assert main(["superb", "prepare", "sid", "--from", "mine.tsv", "--seed", "3", *option]) == 0
    assert asked == [("voxceleb1", "mine.tsv", folder, 3)]
    said = capsys.readouterr().out
    assert f"{folder}: 4 train, 2 dev, 2 test\nleft out: 3 silent\n" in said
    assert "id10001 is allison" in said
    assert "note: four voices" in said
    assert "chance is 50.0%" in said
    assert said.rstrip().endswith("-d voxceleb1 -n exp" if not option else "-n exp -c there/config.yaml")


def test_an_unknown_task_is_one_line(capsys) -> None:
    assert main(["superb", "prepare", "emotoin"]) == 2
    assert "emotion" in capsys.readouterr().err


def test_enable_says_what_it_wrote_and_what_it_costs_and_disable_undoes_it(tmp_path, capsys) -> None:
    assert main(["superb", "enable", "--site-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "streaming_wavlm_superb.pth") in said
    assert "ms longer" in said
    assert main(["superb", "disable", "--site-dir", str(tmp_path)]) == 0
    assert "removed" in capsys.readouterr().out
    assert main(["superb", "disable", "--site-dir", str(tmp_path)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_errors_are_one_line(tmp_path, capsys) -> None:
    assert main(["superb", "enable", "--site-dir", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_needs_no_torch(python) -> None:
    program = """
import json, sys
from streaming_wavlm.cli import main
try:
    main(["superb", "prepare", "-h"])
except SystemExit:
    pass
print(json.dumps("torch" in sys.modules))
"""
    assert python(program) is False
