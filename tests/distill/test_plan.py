from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lab import STUDENT, make_corpus, recipe_values
from streaming_wavlm.cli import distill
from streaming_wavlm.cli.main import COMMANDS, main
from streaming_wavlm.distill.plan import plan_stages
from streaming_wavlm.distill.recipe import build_stages
from streaming_wavlm.errors import CheckpointMismatchError
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
def test_a_stage_that_waits_for_another_is_planned_with_a_student_of_its_architecture(
    root: Path, student: dict[str, object]
) -> None:
    stages = [STAGES[0], {**STAGES[1], **student}]
    text = plan_stages(build_stages(recipe_values(root, root / "run", stages=stages)))
    first, second = text.split("\n\n")
    assert first.startswith("first")
    assert second.startswith("second")
    assert "an earlier stage will leave" in second
    for part in ("2 layers of 16", "4 = ", "GiB", "s a step", "layer 2 from mel"):
        assert part in second
    assert not (root / "run").exists()


def test_a_chain_of_waiting_stages_has_what_each_changes(root: Path) -> None:
    first = {"name": "first", "student": {"config": STUDENT}}
    second = {"name": "second", "student": {"config": {"window_size": 7}}}
    values = recipe_values(root, root / "run", stages=[first, second, {"name": "third"}])
    text = plan_stages(build_stages({**values, "student": {"preset": "mini"}}))
    assert ["window 7" in plan for plan in text.split("\n\n")] == [False, True, True]


def test_a_waiting_stage_that_cannot_be_is_refused_as_it_will_be(root: Path) -> None:
    stages = [STAGES[0], {"name": "second", "student": {"config": {"num_layers": 5}}}]
    with pytest.raises(CheckpointMismatchError, match="num_layers"):
        plan_stages(build_stages(recipe_values(root, root / "run", stages=stages)))


def test_a_dry_run_fills_no_cache(root: Path) -> None:
    teachers = [{"name": "mel", "kind": "logmel", "mels": 8, "cache": str(root / "targets")}]
    values = recipe_values(root, root / "run", teachers=teachers, augment={"clean_teacher": True})
    before = sorted(root.rglob("*"))
    text = plan_stages(build_stages(values))
    assert sorted(root.rglob("*")) == before
    assert "with those of the cache it is faster" in text


def test_two_processes_print_one_plan(root: Path) -> None:
    path = root / "toy.yaml"
    values = recipe_values(root, root / "run", runtime={"devices": 2}, stages=STAGES)
    path.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "streaming_wavlm", "distill", "--config", str(path), "--dry-run"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("learns") == 2
    assert done.stdout.count("on 2 processes") == 2


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
