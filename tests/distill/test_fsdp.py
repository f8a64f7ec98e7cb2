"""Shards over two CPU processes: the gradients, the checkpoints and the students of unsharded training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import streaming_wavlm as sw
from lab import make_corpus, recipe_values, toy_recipe
from offline_models import huggingface_model
from processes import finish, start_group
from streaming_wavlm.data import Batch
from streaming_wavlm.distill import trainer as trainer_module
from streaming_wavlm.distill.recipe import Recipe, build_stages
from streaming_wavlm.distill.runtime import build_fabric
from streaming_wavlm.distill.settings import RuntimeSettings
from streaming_wavlm.distill.step import Stepper
from streaming_wavlm.distill.trainee import ShardedTrainee, build_trainee
from streaming_wavlm.distill.trainer import Trainer
from streaming_wavlm.distill.workshop import build_workshop
from streaming_wavlm.errors import ConfigError

SHARDED: dict[str, Any] = {"runtime": {"strategy": "fsdp"}}


def joined(batches: tuple[Batch, ...]) -> Batch:
    longest = max(batch.wavs.shape[1] for batch in batches)
    wavs = [torch.nn.functional.pad(batch.wavs, (0, longest - batch.wavs.shape[1])) for batch in batches]
    names = tuple(name for batch in batches for name in batch.names)
    return Batch(torch.cat(wavs), torch.cat([batch.lengths for batch in batches]), names)


def one_step(recipe: Recipe, *, join: bool) -> dict[str, torch.Tensor]:
    """Gradients and weights of one step, whole, and what it reports."""
    fabric = build_fabric(recipe.runtime)
    fabric.launch()
    shop = build_workshop(recipe, fabric)
    trainee = build_trainee(shop, fabric)
    trainee.take_up()
    learning: Any = trainee._sharded if isinstance(trainee, ShardedTrainee) else shop.task
    found: dict[str, torch.Tensor] = {}
    step = trainee.wrapped.step

    def watched(*arguments: Any, **options: Any) -> Any:
        for name, weight in learning.named_parameters():
            grad = weight.grad
            found[name] = (grad.full_tensor() if hasattr(grad, "full_tensor") else grad).clone()
        return step(*arguments, **options)

    trainee.wrapped.step = watched
    batches = shop.loader.load(0)
    stepper = Stepper(shop, fabric, trainee.module, trainee.wrapped)
    report = stepper(0, (joined(batches),) if join else batches)
    state = trainee.state()
    found |= {f"after/{name}": value.clone() for name, value in state["task"].items()}
    for number, memory in state["optimiser"]["state"].items():
        found |= {f"memory/{number}/{name}": value.clone() for name, value in memory.items()}
    found["report"] = torch.tensor([report.loss, report.gradient, report.seconds])
    if isinstance(trainee, ShardedTrainee):
        held = sum(weight.to_local().numel() for weight in learning.parameters())
        found["share"] = torch.tensor(held / sum(weight.numel() for weight in shop.task.parameters()))
    return found


def step_in_group(root: Path, out: Path) -> None:
    found = one_step(toy_recipe(root, out, **SHARDED), join=False)
    torch.save(found, out / f"rank{os.environ['RANK']}.pt")


def test_two_processes_with_shards_do_the_step_of_one_process(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    finish(start_group(step_in_group, 2, tmp_path, tmp_path))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    shares = [float(found.pop("share")) for found in (first, second)]
    assert sum(shares) == pytest.approx(1.0)
    assert max(shares) < 0.65  # each has about a half: a tensor of odd length cannot be halved
    alone = one_step(toy_recipe(tmp_path, tmp_path, accumulate=2), join=True)
    assert first.keys() == second.keys() == alone.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name, value in alone.items():
        scale = float(value.abs().max()) + 1e-8
        # AdamW's first step goes by the signs of the gradients: where one is 0 it is nothing but rounding.
        assert float((first[name] - value).abs().max()) < (1e-3 if "after" in name else 2e-4) * scale, name


def train_in_group(root: Path, out: Path, strategy: str, stop_at: int | None) -> None:
    if stop_at is not None:
        step_once = Stepper.__call__

        def stopping(self: Stepper, step: int, loaded: Any, stop: bool = False) -> Any:
            asked = step == stop_at and os.environ["RANK"] == "1"
            return step_once(self, step, loaded, stop or asked)

        trainer_module.Stepper.__call__ = stopping  # type: ignore[method-assign]
    pairs = [{"teacher": "mel", "student_layer": 2, "target_norm": "channel"}]
    recipe = toy_recipe(
        root, out, runtime={"strategy": strategy}, accumulate=2, objective={"pairs": pairs}, steps=6
    )
    try:
        Trainer(recipe, progress=False).run()
    except KeyboardInterrupt:
        assert stop_at is not None


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def test_sharded_training_stops_goes_on_and_trades_checkpoints_with_ddp(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    for name, strategy in (("ddp", "ddp"), ("whole", "fsdp")):
        finish(start_group(train_in_group, 2, tmp_path, tmp_path / name, strategy, None))
    for name, first, second in (("halved", "fsdp", "fsdp"), ("to", "ddp", "fsdp"), ("fro", "fsdp", "ddp")):
        finish(start_group(train_in_group, 2, tmp_path, tmp_path / name, first, 2))
        assert not (tmp_path / name / "final").exists()
        finish(start_group(train_in_group, 2, tmp_path, tmp_path / name, second, None))
    weights = {
        name: sw.load(tmp_path / name / "final").state_dict()
        for name in ("ddp", "whole", "halved", "to", "fro")
    }
    assert all(torch.equal(weights["whole"][key], weights["halved"][key]) for key in weights["whole"])
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "halved" / name).read_text()
    for name in ("whole", "to", "fro"):
        losses = [[line["loss"] for line in lines(tmp_path / run, "train.jsonl")] for run in ("ddp", name)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3), name
        scores = [lines(tmp_path / run, "validation.jsonl")[-1]["score"] for run in ("ddp", name)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-3), name
    states = [
        torch.load(tmp_path / name / "checkpoints" / "step-00000006.pt", weights_only=True)
        for name in ("ddp", "whole")
    ]
    shapes = [
        {(k, m): tuple(v.shape) for k, memory in s["optimiser"]["state"].items() for m, v in memory.items()}
        for s in states
    ]
    assert shapes[0] == shapes[1]
    assert {k: v.shape for k, v in states[0]["task"].items()} == {
        k: v.shape for k, v in states[1]["task"].items()
    }


def train_stage(root: Path, out: Path, strategy: str, stage: str) -> None:
    values = recipe_values(root, out, runtime={"strategy": strategy, "precision": "bf16-mixed"}, steps=3)
    values["teachers"] = [{"name": "wavlm", "source": str(root / "wavlm"), "normalize": True}]
    values["student"] = {
        "init": "convert", "source": str(root / "wavlm"), "num_layers": 3,
        "config": {"lookahead_size": "chunk", "front_pad": "kernel-stride", "chunk_ms": 200},
    }  # fmt: skip
    if stage == "positional":
        values["objective"] = {"positional": {"teacher": "wavlm"}}
    else:
        values["objective"] = {"layerwise": [{"teacher": "wavlm", "layers": 3}]}
        values["student"]["freeze"] = ["encoder.relative_embedding.*", "encoder.layers.0.*"]
    Trainer(build_stages(values)[0], progress=False).run()


@pytest.mark.parametrize("stage", ["positional", "layerwise"])
def test_the_published_stages_learn_in_shards_what_they_learn_whole(tmp_path: Path, stage: str) -> None:
    make_corpus(tmp_path)
    huggingface_model().save_pretrained(tmp_path / "wavlm")
    for strategy in ("ddp", "fsdp"):
        finish(start_group(train_stage, 2, tmp_path, tmp_path / strategy, strategy, stage))
    whole, sharded = (
        [line["loss"] for line in lines(tmp_path / strategy, "train.jsonl")] for strategy in ("ddp", "fsdp")
    )
    assert whole == pytest.approx(sharded, rel=1e-2)  # bfloat16 has three digits
    assert whole[-1] < whole[0]


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"devices": 1}, "there are 1 of accelerator 'cpu'"),
        ({"devices": "auto"}, "there are 0 of accelerator 'cpu'"),
        ({"devices": 2, "accelerator": "mps"}, "of accelerator 'mps'"),
        ({"devices": 2, "precision": "16-mixed"}, "computes in 32-true or bf16-mixed, got '16-mixed'"),
    ],
)
def test_what_cannot_be_sharded_is_refused(runtime: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_fabric(RuntimeSettings(**{"accelerator": "cpu", "strategy": "fsdp", **runtime}))


def test_a_student_in_shards_cannot_teach_itself(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    values = recipe_values(tmp_path, tmp_path / "run", teachers=[], **SHARDED)
    values["objective"] = {"pairs": [{"teacher": "self", "student_layer": -1, "teacher_layer": -1}]}
    (recipe,) = build_stages(values)
    fabric = build_fabric(RuntimeSettings(accelerator="cpu"))
    with pytest.raises(ConfigError, match="'self' is the student as it is at every step"):
        build_trainee(build_workshop(recipe, fabric), fabric)
