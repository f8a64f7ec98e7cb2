from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import make_corpus, recipe_values
from streaming_wavlm.cli import distill
from streaming_wavlm.cli.main import COMMANDS, main
from streaming_wavlm.distill.plan import plan_stages
from streaming_wavlm.distill.recipe import build_stages
from streaming_wavlm.experiment import to_yaml

STAGES = [{"name": "first"}, {"name": "second", "steps": 4}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    return tmp_path


def test_the_plan_has_all_that_a_user_asks_before_a_long_run(root: Path) -> None:
    text = plan_stages(build_stages(recipe_values(root, root / "run")))
    for part in (
        "parameters",
        "mel",
        "layer 2 from mel",
        "20 recordings",
        "epochs",
        "GiB",
        "h in",
        "100, 200, whole",
    ):
        assert part in text
    assert "8 = " in text
    assert not (root / "run").exists()


@pytest.mark.parametrize("student", [{}, {"student": {"init": "run"}}])
def test_a_stage_that_waits_for_another_says_so(root: Path, student: dict[str, object]) -> None:
    stages = [STAGES[0], {**STAGES[1], **student}]
    text = plan_stages(build_stages(recipe_values(root, root / "run", stages=stages)))
    assert "an earlier stage will leave" in text
    assert text.startswith("first")


def test_two_processes_print_one_plan(root: Path) -> None:
    path = root / "toy.yaml"
    values = recipe_values(root, root / "run", runtime={"devices": 2})
    path.write_text(to_yaml(build_stages(values)[0]))
    command = [sys.executable, "-m", "streaming_wavlm", "distill", "--config", str(path), "--dry-run"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("learns") == 1
    assert "on 2 processes" in done.stdout


def test_the_command_trains_and_goes_on(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "distill", distill)
    path = root / "toy.yaml"
    path.write_text(to_yaml(build_stages(recipe_values(root, root / "run"))[0]))
    command = ["distill", "--config", str(path), "steps=3"]
    assert main([*command, "--dry-run"]) == 0
    assert "layer 2 from mel" in capsys.readouterr().out
    assert main([*command, "--print-recipe"]) == 0
    assert "steps: 3" in capsys.readouterr().out
    assert main(command) == 0
    told = capsys.readouterr()
    assert f"the student is in {root / 'run' / 'final'}" in told.out
    assert "step 3 of 3" in told.err
    assert main([*command, "seed=9"]) == 2
    assert "seed: 3 → 9" in capsys.readouterr().err
    assert main([*command, "stepz=9"]) == 2
    assert "did you mean 'steps'" in capsys.readouterr().err


def test_a_dev_recording_that_cannot_be_read_does_not_end_the_plan(root: Path) -> None:
    (root / "voices/audio/voice23.wav").write_bytes(b"garbage")
    values = recipe_values(root, root / "run", data={"batch_seconds": 0.8})
    assert "2 validations of" in plan_stages(build_stages(values))
