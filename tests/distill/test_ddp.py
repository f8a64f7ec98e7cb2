"""Two processes on the CPU give the gradients of one process that has all their recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import streaming_wavlm as sw
from lab import make_corpus, toy_recipe
from processes import finish, start_group
from streaming_wavlm.data import Batch
from streaming_wavlm.distill import trainer as trainer_module
from streaming_wavlm.distill.recipe import Recipe
from streaming_wavlm.distill.runtime import build_fabric
from streaming_wavlm.distill.step import Stepper
from streaming_wavlm.distill.trainer import Trainer
from streaming_wavlm.distill.validation import validate
from streaming_wavlm.distill.workshop import build_optimiser, build_workshop

STEPS = 3
DOUBLE: dict[str, Any] = {"runtime": {"precision": "64-true"}, "optimiser": {"clip": 0.5}}


def joined(batches: tuple[Batch, ...]) -> Batch:
    longest = max(batch.wavs.shape[1] for batch in batches)
    wavs = [torch.nn.functional.pad(batch.wavs, (0, longest - batch.wavs.shape[1])) for batch in batches]
    names = tuple(name for batch in batches for name in batch.names)
    return Batch(torch.cat(wavs), torch.cat([batch.lengths for batch in batches]), names)


def gradients(recipe: Recipe, *, join: bool, weighted: bool = True) -> dict[str, torch.Tensor]:
    """The gradients of some steps at the initial weights: of this process's batches, or of all joined."""
    fabric = build_fabric(recipe.runtime)
    fabric.launch()
    shop = build_workshop(recipe, fabric)
    optimiser = build_optimiser(shop.task, recipe.optimiser, fused=False)
    module, wrapped = fabric.setup(shop.task, optimiser)
    found: dict[str, torch.Tensor] = {}

    class Watched:
        """Takes the gradients instead of stepping."""

        param_groups = wrapped.param_groups

        def step(self) -> None:
            for name, weight in shop.task.named_parameters():
                found[f"{name}/{len(found)}"] = weight.grad.clone()

        def zero_grad(self, set_to_none: bool) -> None:
            optimiser.zero_grad(set_to_none=set_to_none)

    watched: Any = Watched()
    stepper = Stepper(shop, _Clipping(fabric, wrapped), module, watched)
    if not weighted:
        stepper._averages = lambda batches: [None] * len(batches)  # type: ignore[method-assign]
    for step in range(STEPS):
        batches = shop.loader.load(step)
        report = stepper(step, (joined(batches),) if join else batches)
        found[f"loss/{step}"] = torch.tensor(
            [report.loss, report.seconds, report.gradient], dtype=torch.float64
        )
    return found


class _Clipping:
    """Fabric, told to clip the gradients of the real optimiser."""

    def __init__(self, fabric: Any, optimiser: Any) -> None:
        self._fabric, self._optimiser = fabric, optimiser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)

    def clip_gradients(self, module: Any, optimiser: Any, **options: Any) -> Any:
        return self._fabric.clip_gradients(module, self._optimiser, **options)


def work(root: Path, out: Path, weighted: bool) -> None:
    found = gradients(toy_recipe(root, out, **DOUBLE), join=False, weighted=weighted)
    import os

    torch.save(found, out / f"rank{os.environ['RANK']}.pt")


def largest(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(
        float((ours[name] - theirs[name]).abs().max() / (theirs[name].abs().max() + 1e-12)) for name in ours
    )


@pytest.mark.parametrize("weighted", [True, False])
def test_two_processes_have_the_gradients_of_one(tmp_path: Path, weighted: bool) -> None:
    make_corpus(tmp_path)
    finish(start_group(work, 2, tmp_path, tmp_path, weighted))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert largest(first, second) == 0
    # One process with the batches of both: the plan of two batches a step is that of two processes.
    joint = gradients(toy_recipe(tmp_path, tmp_path, accumulate=2, **DOUBLE), join=True)
    if weighted:
        assert largest(first, joint) < 1e-6  # targets and counts are float32
    else:  # the mean of the processes' means is something else
        assert largest(first, joint) > 1e-3


def test_accumulated_batches_have_nearly_the_gradients_of_one(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    # One chunk size: each of the batches would draw its own.
    recipe = toy_recipe(tmp_path, tmp_path, accumulate=2, chunks=[{"ms": 200}], **DOUBLE)
    joint = gradients(recipe, join=True)
    # Each recording here has some 25 frames, of which the last has no target: in a batch of short ones more.
    weighted = largest(gradients(recipe, join=False), joint)
    assert weighted < 0.05
    assert largest(gradients(recipe, join=False, weighted=False), joint) > 3 * weighted


def measure(root: Path, out: Path) -> None:
    recipe = toy_recipe(root, out)
    fabric = build_fabric(recipe.runtime)
    fabric.launch()
    shop = build_workshop(recipe, fabric)
    assert shop.held_out is not None
    found = validate(shop.task, shop.teachers, shop.held_out, shop.validation_chunks, fabric)
    (out / f"found{fabric.global_rank}.json").write_text(json.dumps(found.values()))


def test_two_processes_measure_what_one_measures(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    (tmp_path / "alone").mkdir()
    measure(tmp_path, tmp_path / "alone")
    finish(start_group(measure, 2, tmp_path, tmp_path))
    alone = json.loads((tmp_path / "alone" / "found0.json").read_text())
    both = [json.loads((tmp_path / f"found{rank}.json").read_text()) for rank in (0, 1)]
    assert both[0] == both[1]
    assert both[0]["score"] == pytest.approx(alone["score"], rel=1e-6)
    for chunk, found in alone["chunks"].items():
        for name, numbers in found["pairs"].items():
            assert both[0]["chunks"][chunk]["pairs"][name] == pytest.approx(numbers, rel=1e-6)


def train_in_group(root: Path, out: Path, stop_at: int | None) -> None:
    if stop_at is not None:
        step_once = Stepper.__call__

        def stopping(self: Stepper, step: int, loaded: Any, stop: bool = False) -> Any:
            # Only one process is asked to stop: all do.
            import os

            asked = step == stop_at and os.environ["RANK"] == "1"
            return step_once(self, step, loaded, stop or asked)

        trainer_module.Stepper.__call__ = stopping  # type: ignore[method-assign]
    try:
        Trainer(toy_recipe(root, out), progress=False).run()
    except KeyboardInterrupt:
        assert stop_at is not None


def test_two_processes_train_stop_and_go_on_together(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    finish(start_group(train_in_group, 2, tmp_path, tmp_path / "whole", None))
    finish(start_group(train_in_group, 2, tmp_path, tmp_path / "halved", 4))
    assert not (tmp_path / "halved" / "final").exists()
    finish(start_group(train_in_group, 2, tmp_path, tmp_path / "halved", None))
    whole, halved = (sw.load(tmp_path / name / "final").state_dict() for name in ("whole", "halved"))
    assert all(torch.equal(whole[name], halved[name]) for name in whole)
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "halved" / name).read_text()
