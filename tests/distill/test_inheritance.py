from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lab import make_corpus, recipe_values, toy_recipe
from streaming_wavlm.distill.recipe import CHECKPOINTS, build_stages
from streaming_wavlm.distill.resume import CheckpointStore
from streaming_wavlm.distill.runtime import build_fabric, launch
from streaming_wavlm.distill.settings import StudentSettings
from streaming_wavlm.distill.trainer import Trainer
from streaming_wavlm.distill.workshop import build_workshop
from streaming_wavlm.errors import CheckpointError, ConfigError

# A head, measured statistics and a codebook: all that a run may learn beside its student.
OBJECTIVE = {
    "pairs": [
        {"teacher": "mel", "student_layer": 2, "target_norm": "channel", "head": "linear"},
        {"teacher": "mel", "student_layer": 1, "loss": "units", "units": 3},
        {"teacher": "mel", "student_layer": 2, "target_pool": "mean_std", "target_norm": "whiten",
         "components": 4},
    ]
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    Trainer(toy_recipe(tmp_path, tmp_path / "first", objective=OBJECTIVE), progress=False).run()
    return tmp_path


def begun(root: Path, init: str, source: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """The task of a run before its first step."""
    student = {"init": init, "source": str(source), "preset": None, "config": None}
    values = recipe_values(root, root / "second", **{"objective": OBJECTIVE, **changes})
    recipe = build_stages({**values, "student": {k: v for k, v in student.items() if v}})[0]
    fabric = build_fabric(recipe.runtime)
    launch(fabric)
    return build_workshop(recipe, fabric).task.state_dict()


def learnt(run: Path) -> dict[str, torch.Tensor]:
    store = CheckpointStore(run / CHECKPOINTS, keep=3)
    step = store.latest()
    assert step is not None
    state: dict[str, torch.Tensor] = store.load(step, torch.device("cpu"))["task"]
    return state


def test_a_run_goes_on_from_another_with_heads_statistics_and_codebooks(root: Path) -> None:
    before = learnt(root / "first")
    taken = begun(root, "run", root / "first")
    assert taken.keys() == before.keys()
    assert all(torch.equal(taken[name], value) for name, value in before.items())
    kinds = {name.split(".")[1] for name in before if name.startswith("objective.")}
    assert kinds == {"heads", "norms", "codebooks"}


def test_a_checkpoint_alone_brings_no_heads(root: Path) -> None:
    """What the test before would not see if nothing but the student were taken up."""
    before = learnt(root / "first")
    taken = begun(root, "checkpoint", root / "first" / "final")
    other = {name for name, value in before.items() if not torch.equal(taken[name], value)}
    assert other
    assert all(name.startswith("objective.") for name in other)


def test_it_trains_on_with_a_schedule_of_its_own(root: Path) -> None:
    values = recipe_values(root, root / "second", objective=OBJECTIVE, steps=3)
    recipe = build_stages({**values, "student": {"init": "run", "source": str(root / "first")}})[0]
    Trainer(recipe, progress=False).run()
    store = CheckpointStore(root / "second" / CHECKPOINTS, keep=3)
    assert store.latest() == 3
    before, after = learnt(root / "first"), learnt(root / "second")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("student.") for name in moved)
    assert not any(".norms." in name or ".codebooks." in name for name in moved)


def test_the_second_stage_may_inherit_the_first(root: Path) -> None:
    values = recipe_values(root, root / "both", objective=OBJECTIVE)
    stages = build_stages({**values, "stages": [{"name": "a"}, {"name": "b", "student": {"init": "run"}}]})
    assert stages[1].student.init == "run"
    assert stages[1].student.source == str(root / "both" / "a")


def test_a_damaged_checkpoint_of_another_run_is_passed_over_and_left_as_it_is(root: Path) -> None:
    before = learnt(root / "first")
    folder = root / "first" / CHECKPOINTS
    last = folder / "step-00000008.pt"
    last.write_bytes(b"cut short")
    names = {path.name for path in folder.iterdir()}
    taken = begun(root, "run", root / "first")
    assert {path.name for path in folder.iterdir()} == names
    assert any(not torch.equal(taken[name], value) for name, value in before.items())


def test_another_objective_cannot_inherit(root: Path) -> None:
    with pytest.raises(ConfigError, match="had another objective"):
        begun(root, "run", root / "first", objective={"pairs": OBJECTIVE["pairs"][:1]})


def test_a_run_that_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file or folder"):
        begun(root, "run", root / "nothing")


def test_a_student_without_its_run_is_told_from_a_run(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (root / "first" / "final").rename(tmp_path / "alone" / "final")
    with pytest.raises(ConfigError, match="holds no checkpoints of a run"):
        begun(root, "run", tmp_path / "alone")


def test_a_run_has_the_layers_it_has() -> None:
    with pytest.raises(ConfigError, match="num_layers"):
        StudentSettings(init="run", source="runs/mine", num_layers=3)
