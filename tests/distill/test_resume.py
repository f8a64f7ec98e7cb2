from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import streaming_wavlm as sw
from lab import STUDENT, make_corpus, recipe_values, toy_recipe
from processes import finish, start_group
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.distill import resume, trainer
from streaming_wavlm.distill.errors import ResumeError, TrainingError
from streaming_wavlm.distill.recipe import Recipe, build_stages
from streaming_wavlm.distill.resume import CheckpointStore
from streaming_wavlm.distill.run_folder import RunFolder
from streaming_wavlm.distill.student import scratch_student
from streaming_wavlm.distill.trainer import Trainer
from streaming_wavlm.files import temporary_name
from tiny import tiny_model

CPU = torch.device("cpu")


class Crash(Exception):
    """What stops a run in these tests."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder


def train(recipe: Recipe) -> dict[str, torch.Tensor]:
    return sw.load(Trainer(recipe, progress=False).run()).state_dict()


def crash_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stop the run when it has done ``step`` steps, before it can save anything."""
    account = Trainer._account

    def crashing(self: Trainer, *arguments: Any) -> None:
        account(self, *arguments)
        if self._ledger.step == step:
            raise Crash

    monkeypatch.setattr(Trainer, "_account", crashing)


def lines(folder: Path, name: str = "train.jsonl") -> list[str]:
    return (folder / name).read_text().splitlines()


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return folder, train(toy_recipe(root, folder))


@pytest.mark.parametrize("step", range(1, 9))
def test_a_run_stopped_at_any_step_goes_on_as_if_nothing_had_been(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Path, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    folder, weights = undisturbed
    recipe = toy_recipe(root, tmp_path / "run")
    with monkeypatch.context() as patch:
        crash_after(patch, step)
        with pytest.raises(Crash):
            train(recipe)
    assert not (tmp_path / "run" / "final").exists()
    assert equal(train(recipe), weights)
    for name in ("train.jsonl", "validation.jsonl"):
        assert lines(tmp_path / "run", name) == lines(folder, name)


@pytest.mark.parametrize("step", [4, 8])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_validation_that_fails_costs_no_step_and_is_done_by_the_next_run(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Path, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    when: str,
) -> None:
    folder, weights = undisturbed
    recipe = toy_recipe(root, tmp_path / "run")
    validate = Trainer._validate

    def failing(self: Trainer, *arguments: Any) -> bool:
        at = self._ledger.step == step
        if at and when == "before":
            raise Crash
        best = validate(self, *arguments)
        if at:
            raise Crash  # the line is written, the checkpoint is not
        return best

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_validate", failing)
        with pytest.raises(Crash):
            train(recipe)
    store = CheckpointStore(tmp_path / "run" / "checkpoints", 3)
    assert store.latest() == step
    steps: list[int] = []
    with monkeypatch.context() as patch:
        step_once = trainer.Stepper.__call__
        patch.setattr(
            trainer.Stepper,
            "__call__",
            lambda self, number, *rest: steps.append(number) or step_once(self, number, *rest),
        )
        assert equal(train(recipe), weights)
    assert steps == list(range(step, 8))
    for name in ("train.jsonl", "validation.jsonl"):
        assert lines(tmp_path / "run", name) == lines(folder, name)
    ours, theirs = (
        CheckpointStore(run / "checkpoints", 3).load(8, CPU)["ledger"] for run in (tmp_path / "run", folder)
    )
    assert ours == theirs
    assert not ours["unmeasured"]
    stories = [sw.load(run / "best").provenance["validation"] for run in (tmp_path / "run", folder)]
    assert stories[0] == stories[1]


def test_the_run_is_reproducible_and_the_seed_decides(
    root: Path, tmp_path: Path, undisturbed: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    _, weights = undisturbed
    assert equal(train(toy_recipe(root, tmp_path / "again")), weights)
    assert not equal(train(toy_recipe(root, tmp_path / "other", seed=4)), weights)


def test_dropout_and_readers_and_accumulation_are_resumed_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {
        "accumulate": 2,
        "data": {"workers": 2, "cache": True},
        "student": {"config": {"dropout": 0.3}},
        "logging": {"every": 3},
    }
    weights = train(toy_recipe(root, tmp_path / "whole", **changes))
    with monkeypatch.context() as patch:
        crash_after(patch, 5)
        with pytest.raises(Crash):
            train(toy_recipe(root, tmp_path / "run", **changes))
    assert equal(train(toy_recipe(root, tmp_path / "run", **changes)), weights)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Path, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, weights = undisturbed
    recipe = toy_recipe(root, tmp_path / "run")
    with monkeypatch.context() as patch:
        crash_after(patch, 7)
        with pytest.raises(Crash):
            train(recipe)
    last = tmp_path / "run" / "checkpoints" / "step-00000006.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert equal(train(recipe), weights)
    assert "step-00000006.pt is damaged" in caplog.text


def store_with(folder: Path, *steps: int, keep: int = 3) -> CheckpointStore:
    store = CheckpointStore(folder, keep)
    for step in steps:
        store.save(step, {"value": torch.full((100,), float(step))})
    return store


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for step in range(1, 8):
        store.save(step, {}, best=3 if step >= 3 else None)
    assert store.steps() == [3, 6, 7]
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "no digest"])
def test_every_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    store = store_with(tmp_path, 1, 2)
    path = tmp_path / "step-00000002.pt"
    content = path.read_bytes()
    if damage == "no digest":
        path.with_suffix(".sha256").unlink()
    else:
        flipped = content[:700] + bytes([content[700] ^ 1]) + content[701:]
        path.write_bytes({"cut": content[:-9], "empty": b"", "flip": flipped}[damage])
    assert store.latest() == 1
    assert float(store.load(1, CPU)["value"][0]) == 1.0
    assert store.steps() == [1]  # put aside: it would push sound ones out


def test_no_sound_checkpoint_at_all_is_an_error_and_none_is_a_start(tmp_path: Path) -> None:
    store = store_with(tmp_path, 1)
    (tmp_path / "step-00000001.pt").write_bytes(b"x")
    with pytest.raises(ResumeError, match="none of the 1 checkpoints"):
        store.latest()
    assert CheckpointStore(tmp_path / "new", 1).latest() is None


def test_a_checkpoint_that_was_half_written_does_not_count(tmp_path: Path) -> None:
    store = store_with(tmp_path, 1)
    (tmp_path / ".step-00000002.pt.tmp").write_bytes(b"half")
    (tmp_path / "step-00000002.sha256").write_text("0" * 64)
    assert store.latest() == 1


class FullDisk:
    """Lets so many bytes through, then says that the disk is full."""

    def __init__(self, room: int) -> None:
        self.room = room

    def open(self, original: Any) -> Any:
        disk = self

        def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = original(path, mode, *arguments, **options)
            if "b" in mode and "w" in mode:
                write = file.write

                def limited(data: Any) -> int:
                    disk.room -= len(data)
                    if disk.room < 0:
                        raise OSError(errno.ENOSPC, "No space left on device")
                    return write(data)

                return Through(file, limited)
            return file

        return opened


class Through:
    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Through:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def test_a_full_disk_is_a_clear_error_and_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", FullDisk(room=600).open(Path.open))
        with pytest.raises(TrainingError, match=r"the disk is full.*the last checkpoint is intact"):
            store.save(2, {"value": torch.zeros(100_000)})
    assert store.latest() == 1
    assert not list(tmp_path.glob(".*"))
    store.save(2, {})
    assert store.latest() == 2


def test_a_full_disk_stops_a_run_which_then_goes_on(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Path, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, weights = undisturbed
    recipe = toy_recipe(root, tmp_path / "run")
    with monkeypatch.context() as patch:
        save = torch.save

        def full(state: Any, file: Any) -> None:
            if state.get("step") == 6:
                file.write(b"something")
                raise OSError(errno.ENOSPC, "No space left on device")
            save(state, file)

        patch.setattr(resume.torch, "save", full)
        with pytest.raises(TrainingError, match="the disk is full"):
            train(recipe)
    assert equal(train(recipe), weights)


@pytest.mark.parametrize("file", ["train.jsonl", "best", "final"])
def test_a_folder_that_cannot_be_written_is_named(root: Path, tmp_path: Path, file: str) -> None:
    recipe = toy_recipe(root, tmp_path / "run")
    (tmp_path / "run").mkdir()
    if file == "train.jsonl":
        (tmp_path / "run" / file).mkdir()
    else:
        (tmp_path / "run" / f".{file}.new").write_text("in the way")
    with pytest.raises(TrainingError, match=r"run"):
        train(recipe)


def test_another_recipe_in_the_folder_is_refused_with_what_differs(root: Path, tmp_path: Path) -> None:
    values = recipe_values(root, tmp_path / "run", steps=2)
    train(build_stages(values)[0])
    with pytest.raises(ResumeError) as caught:
        train(build_stages(values, ["optimiser.lr=0.1", "data.train.0.repeat=2"])[0])
    assert "optimiser.lr: 0.0005 → 0.1" in str(caught.value)
    assert "data.train.0.repeat: 1.0 → 2.0" in str(caught.value)
    assert "seed" not in str(caught.value)


def test_longer_training_and_other_logging_go_on_and_shorter_is_refused(root: Path, tmp_path: Path) -> None:
    values = recipe_values(root, tmp_path / "run", steps=3)
    train(build_stages(values)[0])
    train(build_stages(values, ["steps=5", "logging.every=5", "checkpoints.keep=1", "validation.every=1"])[0])
    assert [json.loads(line)["step"] for line in lines(tmp_path / "run")] == [1, 2, 3, 5]
    with pytest.raises(ResumeError, match="has done 5 steps, steps is 2"):
        train(build_stages(values, ["steps=2"])[0])


def test_other_processes_with_the_same_batches_go_on_without_a_word(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["accumulate=2"]
    values = recipe_values(root, tmp_path / "run", steps=2)
    train(build_stages(values, words)[0])
    finish(start_group(go_on_with, 2, build_stages(values, ["accumulate=1", "steps=4"])[0], tmp_path))
    assert [(tmp_path / f"told{rank}").read_text() for rank in (0, 1)] == ["", ""]
    train(build_stages(values, [*words, "steps=6"])[0])
    assert "batches" not in caplog.text
    train(build_stages(values, ["accumulate=3", "steps=8"])[0])
    assert "had 2 batches (processes times accumulate) and now has 3" in caplog.text
    forget(tmp_path / "run", 8, "group")
    train(build_stages(values, ["accumulate=3", "steps=9"])[0])
    assert len(caplog.records) == 1


def go_on_with(recipe: Recipe, folder: Path) -> None:
    """In a process of its own: train, and note what was warned of."""
    handler = logging.FileHandler(folder / f"told{os.environ['RANK']}")
    logging.getLogger("streaming_wavlm").addHandler(handler)
    train(recipe)
    handler.close()


def test_changed_data_are_refused(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    values = recipe_values(tmp_path, tmp_path / "run", steps=2)
    train(build_stages(values)[0])
    manifest = tmp_path / "voices" / "manifest.tsv"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(ResumeError, match="the data of the run"):
        train(build_stages(values, ["steps=4"])[0])


def test_two_runs_cannot_share_a_folder(root: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(root, tmp_path / "run")
    holder = RunFolder(tmp_path / "run")
    holder.open(recipe)
    with pytest.raises(ResumeError, match="another run is at work"):
        Trainer(recipe, progress=False).run()
    holder.close()


def test_what_a_killed_run_was_writing_is_swept_up_by_the_next(root: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(root, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    left = [temporary_name(tmp_path / "run" / "recipe.yaml"), temporary_name(checkpoints / "step-1.pt")]
    for path in left:
        path.write_text("half of it")
    (tmp_path / "run" / "notes.tmp").write_text("a user's own")
    folder = RunFolder(tmp_path / "run")
    folder.open(recipe)
    folder.close()
    assert not any(path.exists() for path in left)
    assert (tmp_path / "run" / "notes.tmp").exists()


def test_a_cooldown_may_be_decided_on_late(root: Path, tmp_path: Path) -> None:
    values = recipe_values(root, tmp_path / "run", steps=9)
    words = ["schedule.kind=constant", "schedule.warmup=0"]
    folder = RunFolder(tmp_path / "run")
    folder.open(build_stages(values, words)[0])
    folder.close()
    folder.open(build_stages(values, [*words, "steps=6", "schedule.cooldown=3"])[0])
    folder.close()
    with pytest.raises(ResumeError, match=r"schedule\.kind"):
        folder.open(build_stages(values, ["schedule.kind=linear"])[0])


def test_a_polite_request_to_stop_is_followed_by_a_checkpoint(
    root: Path,
    tmp_path: Path,
    undisturbed: tuple[Path, dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, weights = undisturbed
    recipe = toy_recipe(root, tmp_path / "run")
    with monkeypatch.context() as patch:
        step_once = trainer.Stepper.__call__

        def interrupted(self: Any, step: int, *arguments: Any) -> Any:
            if step == 4:
                import signal

                os.kill(os.getpid(), signal.SIGTERM)
            return step_once(self, step, *arguments)

        patch.setattr(trainer.Stepper, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
    # Asked as step 4 begins, noted there or at the next, and told to all processes at its end.
    assert CheckpointStore(tmp_path / "run" / "checkpoints", 3).latest() in (5, 6)
    assert equal(train(recipe), weights)


def taught_by_reference(root: Path, out: Path, seed: int, **changes: Any) -> Recipe:
    """A recipe with a teacher in a folder, which is written anew."""
    tiny_model(seed, dtype=torch.float32).save_pretrained(root / "teacher")
    teachers = [{"name": "ref", "kind": "reference", "source": str(root / "teacher")}]
    pairs = [{"teacher": "ref", "student_layer": 2}]
    return toy_recipe(root, out, **{"teachers": teachers, "objective": {"pairs": pairs}, **changes})


def test_a_teacher_that_was_replaced_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_corpus(tmp_path)
    run = tmp_path / "run"
    train(taught_by_reference(tmp_path, run, seed=1, steps=2))
    train(taught_by_reference(tmp_path, run, seed=1, steps=4))
    with pytest.raises(ResumeError, match=r"the teacher 'ref' of the run in .* is another.*of step 4"):
        train(taught_by_reference(tmp_path, run, seed=2, steps=6))
    train(taught_by_reference(tmp_path, run, seed=1, steps=6, runtime={"teacher_dtype": "bfloat16"}))
    assert "'ref' had weights in float32 and now has them in bfloat16" in caplog.text


def test_a_checkpoint_that_does_not_tell_its_teachers_still_loads(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    train(taught_by_reference(tmp_path, tmp_path / "run", seed=1, steps=2))
    forget(tmp_path / "run", 2, "teachers")
    train(taught_by_reference(tmp_path, tmp_path / "run", seed=2, steps=4))


def test_a_run_tells_of_the_start_that_it_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_corpus(tmp_path)

    def run(steps: int, seed: int) -> dict[str, Any]:
        student = scratch_student(
            StreamingWavLMConfig.from_dict(STUDENT, StreamingWavLMConfig.preset("mini"))
        )
        student.save_pretrained(tmp_path / "start", provenance={"seed": seed})
        values = recipe_values(tmp_path, tmp_path / "run", steps=steps)
        values["student"] = {"init": "checkpoint", "source": str(tmp_path / "start")}
        started: dict[str, Any] = sw.load(Trainer(build_stages(values)[0], progress=False).run()).provenance[
            "started_from"
        ]
        return started

    first = run(2, seed=1)
    assert first["seed"] == 1
    assert run(4, seed=1) == first
    assert "now holds another student" not in caplog.text
    assert run(6, seed=2) == first
    assert "now holds another student than the run" in caplog.text
    forget(tmp_path / "run", 6, "start")
    assert run(8, seed=2)["seed"] == 2


def forget(run: Path, step: int, *names: str) -> None:
    """Make a checkpoint one of an old version, which told less."""
    store = CheckpointStore(run / "checkpoints", 3)
    state = store.load(step, CPU)
    store.save(step, {name: value for name, value in state.items() if name not in (*names, "format", "step")})
