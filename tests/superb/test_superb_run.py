"""A whole task, small: train, evaluate, go on; each in a process of its own, as users run it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb import run
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.run import run_task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(checkpoint, model_config, corpus, tmp_path_factory):
    """The tiny checkpoint, trained on the tiny corpus and evaluated."""
    for name in ("s3prl", "librosa", "tensorboardX", "transformers"):
        pytest.importorskip(name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STREAMING_WAVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        environment.setenv("OMP_NUM_THREADS", "1")
        yield run_task(
            "voxceleb1",
            "streaming_wavlm_400ms",
            config=corpus / "config.yaml",
            folder=tmp_path_factory.mktemp("experiment") / "exp",
            ckpt=checkpoint,
            model_config=model_config,
            override={"config.runner.total_steps": 2, "config.optimizer.lr": 0.01},
            device="cpu",
        )


def test_a_task_trains_and_evaluates_to_a_score(trained) -> None:
    assert trained.metric == "accuracy"
    assert trained.score in (0.0, 0.5, 1.0)
    assert min(trained.train_seconds, trained.evaluate_seconds) > 0
    assert (trained.folder / "states-2.ckpt").is_file()
    assert f"test acc: {trained.score}" in (trained.folder / "evaluate.log").read_text()
    said = (trained.folder / "train.log").read_text()
    assert "there are 8 files found" in said
    assert "Take a list of 2 features" in said


def test_what_was_overridden_is_what_ran(trained) -> None:
    config = min(trained.folder.glob("config_*.yaml")).read_text()
    assert "lr: 0.01" in config
    assert "total_steps: 2" in config


def test_training_goes_on_where_it_ended_from_the_root_of_a_checkout(trained) -> None:
    launcher = ROOT / "run_downstream.py"
    if not launcher.is_file():
        pytest.skip("needs a checkout")
    more = ["-m", "train", "-e", str(trained.folder), "--device", "cpu", "-o", "config.runner.total_steps=4"]
    done = subprocess.run(
        [sys.executable, str(launcher), *more], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "Loading Optimizer weights from the previous experiment" in done.stdout
    assert (trained.folder / "states-4.ckpt").is_file()


def test_an_evaluation_from_elsewhere_writes_into_the_folder_that_it_evaluates(trained, tmp_path) -> None:
    moved = tmp_path / "moved, or = not"
    shutil.copytree(trained.folder, moved)
    for stale in moved.glob("test_*"):
        stale.unlink()
    before = sorted(trained.folder.iterdir())
    code = "from streaming_wavlm.superb import launcher; import sys; sys.exit(launcher.launch(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "evaluate", "-e", moved.name, "--device", "cpu"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (moved / "test_predict.txt").is_file()
    assert sorted(trained.folder.iterdir()) == before


def test_a_failure_tells_what_was_said_last(tmp_path) -> None:
    with pytest.raises(SuperbError, match=r"failed with status 2; all it said is in .*(?s:.)*nowhere"):
        run_task("voxceleb1", "streaming_wavlm", config=tmp_path / "nowhere.yaml", folder=tmp_path / "exp")


def test_a_task_without_a_score_is_refused(tmp_path) -> None:
    with pytest.raises(SuperbError, match="there are asr, "):
        run_task("mosei", "fbank", config=tmp_path, folder=tmp_path)


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands that were run, by a stand-in that leaves what they would."""
    made: list[list[str]] = []

    def pretend(arguments: list[str], log: Path, threads: int | None, stop: object) -> float:
        made.append(arguments)
        if "evaluate" in arguments:
            assert not (tmp_path / "test_predict.txt").exists()
            for name in ("predict", "truth"):
                (tmp_path / f"test_{name}.txt").write_text("a id1\n")
        return float(len(made))

    monkeypatch.setattr(run, "_run", pretend)
    return made


def again(folder: Path, **changes):
    return run_task("voxceleb1", "fbank", **{"config": "c.yaml", "folder": folder, **changes})


def test_the_commands_are_those_a_user_types_and_old_answers_do_not_count(commands, tmp_path) -> None:
    (tmp_path / "test_predict.txt").write_text("of another run")
    result = again(tmp_path, override={"config.a": 1, "config.b": "x"}, heads="causal", seed=3)
    assert (result.score, result.train_seconds, result.evaluate_seconds) == (1.0, 1.0, 2.0)
    assert commands == [
        ["-m", "train", "-d", "voxceleb1", "-u", "fbank", "-c", "c.yaml", "-p", str(tmp_path),
         "-o", "config.a=1,,config.b='x'", "--heads", "causal", "--seed", "3"],
        ["-m", "evaluate", "-e", str(tmp_path)],
    ]  # fmt: skip


def test_what_was_trained_is_only_evaluated_and_on_the_best_of_dev(commands, tmp_path) -> None:
    again(tmp_path)
    torch.save({}, tmp_path / "dev-best.ckpt")
    result = again(tmp_path)
    assert [command[1] for command in commands] == ["train", "evaluate", "evaluate"]
    assert commands[-1][3] == str(tmp_path / "dev-best.ckpt")
    assert result.train_seconds == 1.0


def test_what_was_begun_goes_on_from_its_last_whole_checkpoint(commands, tmp_path, monkeypatch) -> None:
    def killed(*_) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "_run", killed)
        with pytest.raises(KeyboardInterrupt):
            again(tmp_path)
    torch.save({}, tmp_path / "states-100.ckpt")
    (tmp_path / "states-200.ckpt").write_bytes(b"PK cut short")
    again(tmp_path)
    assert commands[0][-1] == "-a"
    assert not (tmp_path / "states-200.ckpt").exists()


def test_without_a_whole_checkpoint_it_begins_anew(commands, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(run, "_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path)
    monkeypatch.undo()
    torch.save({}, tmp_path / "dev-best.ckpt")
    (tmp_path / "states-200.ckpt").write_bytes(b"PK cut short")
    assert not run._ready_to_go_on(tmp_path, run.TASKS["voxceleb1"])
    assert [path.name for path in tmp_path.glob("*.ckpt")] == []


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"heads": "causal"}, {"ckpt": "other.pt"}, {"override": {"config.a": 1}}]
)
def test_a_folder_with_another_experiment_is_refused(changes, commands, tmp_path) -> None:
    again(tmp_path)
    with pytest.raises(SuperbError, match=f"another {next(iter(changes))}; give another folder"):
        again(tmp_path, **changes)
    assert len(commands) == 2


def test_checkpoints_and_configs_are_told_apart_by_what_they_hold(commands, tmp_path) -> None:
    config, weights, moved = tmp_path / "a.yaml", tmp_path / "a.pt", tmp_path / "b.pt"
    config.write_text("a: 1")
    weights.write_bytes(b"1")
    moved.write_bytes(b"1")
    again(tmp_path, config=config, ckpt=weights)
    config.write_text("{a: 1}  # the same")
    again(tmp_path, config=config, ckpt=moved)
    moved.write_bytes(b"2")
    with pytest.raises(SuperbError, match="another ckpt"):
        again(tmp_path, config=config, ckpt=moved)


def test_another_corpus_or_another_content_of_a_folder_of_weights_is_another_experiment(
    commands, tmp_path
) -> None:
    config = prepare("voxceleb1", "embedded", tmp_path / "corpus").config
    weights = tmp_path / "student"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"1")
    again(tmp_path, config=config, ckpt=weights)
    again(tmp_path, config=config, ckpt=weights)
    (weights / "model.safetensors").write_bytes(b"2")
    with pytest.raises(SuperbError, match="another ckpt"):
        again(tmp_path, config=config, ckpt=weights)
    (weights / "model.safetensors").write_bytes(b"1")
    facts = config.parent / "prepared.json"
    facts.write_text(facts.read_text().replace('"content": "', '"content": "another '))
    with pytest.raises(SuperbError, match="another corpus"):
        again(tmp_path, config=config, ckpt=weights)


def test_the_folder_is_told_whole_so_that_it_is_the_same_from_anywhere(
    commands, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    again(Path(tmp_path.name))
    assert str(tmp_path) in commands[0]


def test_checkpoints_of_others_are_not_gone_on_with(commands, tmp_path) -> None:
    torch.save({}, tmp_path / "states-100.ckpt")
    with pytest.raises(SuperbError, match="not begun here"):
        again(tmp_path)
    assert commands == []


def test_a_process_ends_with_its_children_once_it_is_told_to_stop(tmp_path) -> None:
    stop = threading.Event()
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], process_group=0)
    threading.Timer(0.5, stop.set).start()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert process.poll() is None
        time.sleep(0.01)
    assert run._ended(process, stop) == -signal.SIGTERM
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_does_not_outlive_a_wait_that_is_broken_off(monkeypatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run._ended(process, None)
    assert process.poll() == -signal.SIGKILL
