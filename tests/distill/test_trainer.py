from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import streaming_wavlm as sw
from lab import make_corpus, recipe_values, toy_recipe
from offline_models import huggingface_model
from streaming_wavlm.distill import workshop
from streaming_wavlm.distill.errors import TrainingError
from streaming_wavlm.distill.recipe import build_stages
from streaming_wavlm.distill.settings import OptimiserSettings
from streaming_wavlm.distill.step import Stepper
from streaming_wavlm.distill.trainer import Trainer, distill
from streaming_wavlm.errors import ConfigError
from tiny import tiny_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    return tmp_path


def train(root: Path, out: str = "run", **changes: Any) -> Path:
    return Trainer(toy_recipe(root, root / out, **changes), progress=False).run()


def told(folder: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_student_learns_and_is_measured(root: Path) -> None:
    train(root, steps=60, optimiser={"lr": 3e-3}, validation={"every": 20}, augment=None)
    losses = [line["loss"] for line in told(root / "run")]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    found = told(root / "run", "validation.jsonl")
    assert [line["step"] for line in found] == [20, 40, 60]
    assert found[-1]["score"] < 0.9 * found[0]["score"]
    assert set(found[0]["chunks"]) == {"100", "200", "whole"}
    pair = found[-1]["chunks"]["whole"]["pairs"]["mel/mse/2--1"]
    assert 0 < pair["relative_error"] < 1
    assert list((root / "run" / "tensorboard").iterdir())


def test_fabrics_own_launcher_is_not_in_the_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``fabric run`` tells the processes that it starts."""
    for name, value in {"CLI_USED": 1, "ACCELERATOR": "cpu", "DEVICES": 1, "NUM_NODES": 1}.items():
        monkeypatch.setenv(f"LT_{name}", str(value))
    assert train(root, steps=2, validation={"every": 2}) == root / "run" / "final"


def test_the_export_is_what_load_reads_and_tells_its_story(root: Path) -> None:
    folder = train(root, checkpoints={"export_pt": True})
    student = sw.load(folder)
    assert student.config.lookahead_size == "chunk"
    story = student.provenance
    assert story["weights"] == "distilled"
    assert story["steps"] == 8
    assert story["teachers"][0]["name"] == "mel"
    assert story["data"]["recordings"] == 20
    assert len(story["data"]["fingerprint"]) == 16
    assert story["recipe"]["optimiser"]["lr"] == 5e-4
    assert story["started_from"] == {"weights": "random", "seed": 3}
    assert story["software"]["torch"] == torch.__version__
    best = sw.load(root / "run" / "best")
    assert "score" in best.provenance["validation"]
    pt = sw.load(folder / "student.pt", config=student.config)
    assert all(torch.equal(a, b) for a, b in zip(pt.parameters(), student.parameters(), strict=True))
    assert "student_state_dict" in torch.load(folder / "student.pt", weights_only=True)


def test_the_best_student_is_the_one_that_scored_best(root: Path) -> None:
    # A learning rate that ruins it in the end.
    train(
        root,
        steps=12,
        optimiser={"lr": 0.5},
        schedule={"kind": "constant", "warmup": 10},
        validation={"every": 2},
    )
    scores = {line["step"]: line["score"] for line in told(root / "run", "validation.jsonl")}
    best = min(scores, key=scores.__getitem__)
    assert best < 12
    assert sw.load(root / "run" / "best").provenance["steps"] == best
    assert f"step-{best:08d}.pt" in {path.name for path in (root / "run" / "checkpoints").iterdir()}


def test_a_half_precision_export_is_half_as_large_and_close(root: Path) -> None:
    whole = train(root, "a")
    half = train(root, "b", checkpoints={"export_dtype": "float16"})
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.7 * sizes[0]
    pairs = list(zip(sw.load(whole).parameters(), sw.load(half).parameters(), strict=True))
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in pairs)


def test_what_is_frozen_stays_and_the_rest_moves(root: Path) -> None:
    patterns = ["encoder.relative_embedding.*", "feature_extractor.*"]
    recipe = toy_recipe(root, root / "run", student={"freeze": patterns})
    before = workshop.build_student(recipe.student, recipe.seed).state_dict()
    after = sw.load(Trainer(recipe, progress=False).run()).state_dict()
    frozen = ("encoder.relative_embedding.", "feature_extractor.")
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) == name.startswith(frozen), name


@pytest.mark.parametrize("clean", [False, True])
def test_teacher_and_student_hear_the_same_corrupted_audio_unless_it_shall_be_clean(
    clean: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, list[torch.Tensor]] = {"teacher": [], "student": []}
    build = workshop.build_workshop

    def listening(recipe: Any, fabric: Any) -> Any:
        shop = build(recipe, fabric)
        for name, model in (("teacher", shop.teachers.models["mel"]), ("student", shop.student)):
            forward = model.forward

            def recorded(wavs: torch.Tensor, *rest: Any, key: str = name, call: Any = forward) -> Any:
                heard[key].append(wavs.clone())
                return call(wavs, *rest)

            monkeypatch.setattr(model, "forward", recorded)
        return shop

    monkeypatch.setattr("streaming_wavlm.distill.trainer.build_workshop", listening)
    augment = {"noise_share": 1.0, "overlap_share": 0.0, "gain_share": 0.0, "noise_snr_db": [0.0, 0.0]}
    train(root, augment={**augment, "clean_teacher": clean}, data={"dev": []})
    assert len(heard["student"]) == 8
    for teacher, student in zip(heard["teacher"], heard["student"], strict=True):
        assert torch.equal(teacher, student) == (not clean)
        ratio = teacher.square().mean() / student.square().mean()
        assert ratio == pytest.approx(0.5 if clean else 1.0, abs=0.1)  # as much noise as voice


def test_bad_files_are_skipped_counted_and_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "voices" / "audio" / "voice02.wav").write_bytes(b"RIFF....WAVEjunk")
    with caplog.at_level(logging.WARNING):
        train(root, data={"max_bad_share": 0.2})
    assert told(root / "run")[-1]["bad"] >= 1
    assert "voice02.wav" in caplog.text


def test_too_many_bad_files_stop_the_run(root: Path) -> None:
    for number in range(0, 24, 3):
        (root / "voices" / "audio" / f"voice{number:02}.wav").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"recordings could not be read, more than data\.max_bad_share"):
        train(root, steps=200)


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int], what: str = "loss") -> None:
    """Make the loss NaN, or one gradient infinite, at some steps."""
    step_once = Stepper.__call__

    def poisoned(self: Stepper, step: int, *arguments: Any) -> Any:
        task = self._shop.task
        if step not in steps:
            return step_once(self, step, *arguments)
        with pytest.MonkeyPatch.context() as patch:
            if what == "loss":
                forward = task.forward

                def bad(lesson: Any) -> Any:
                    total, parts = forward(lesson)
                    return total * float("nan"), parts

                patch.setattr(task, "forward", bad)
                return step_once(self, step, *arguments)
            weight = task.student.norm.weight
            hook = weight.register_hook(lambda gradient: gradient * float("inf"))
            try:
                return step_once(self, step, *arguments)
            finally:
                hook.remove()

    monkeypatch.setattr(Stepper, "__call__", poisoned)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_nan_skips_the_step_and_is_counted(root: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    poison(monkeypatch, {2, 5}, what)
    student = sw.load(train(root))
    assert all(torch.isfinite(weight).all() for weight in student.parameters())
    assert [line["skipped"] for line in told(root / "run")] == [0, 0, 1, 1, 1, 2, 2, 2]


def test_too_many_nans_in_a_row_stop_the_run_with_sound_checkpoints(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, set(range(3, 100)))
    with pytest.raises(TrainingError, match="4 steps in a row and 4 in all had a NaN"):
        train(root, limits={"skipped_in_a_row": 3})
    state = torch.load(root / "run" / "checkpoints" / "step-00000006.pt", weights_only=True)
    assert all(torch.isfinite(weight).all() for weight in state["task"].values())


def test_accumulated_batches_are_heard_at_sizes_of_their_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []
    heard: list[int] = []
    step_once = Stepper.__call__

    def listening(self: Stepper, *arguments: Any) -> Any:
        forward = self._shop.student.forward
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                self._shop.student, "forward", lambda *given: heard.append(given[2]) or forward(*given)
            )
            report = step_once(self, *arguments)
        told.append(report.chunks)
        return report

    monkeypatch.setattr(Stepper, "__call__", listening)
    train(root, accumulate=2, steps=12, chunks=[{"ms": 100}, {"ms": 200}], data={"dev": []})
    assert any(len(set(chunks)) == 2 for chunks in told)
    assert [str(size) for size in heard] == [size for chunks in told for size in chunks]


def test_stages_follow_each_other_and_are_not_repeated(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [{"name": "first", "steps": 3}, {"name": "second", "steps": 2, "optimiser": {"lr": 1e-9}}]
    recipes = build_stages(recipe_values(root, root / "run", stages=stages))
    folder = distill(recipes, progress=False)
    assert folder == root / "run" / "second" / "final"
    first, second = sw.load(root / "run" / "first" / "final"), sw.load(folder)
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert second.provenance["started_from"]["steps"] == 3
    monkeypatch.setattr(Stepper, "__call__", lambda *_: pytest.fail("a stage was done again"))
    assert distill(recipes, progress=False) == folder


def test_the_published_stages_run_on_a_wavlm(root: Path) -> None:
    offline = huggingface_model()
    offline.save_pretrained(root / "wavlm")
    changes: dict[str, Any] = {
        "teachers": [{"name": "wavlm", "source": str(root / "wavlm"), "normalize": True}],
        "student": {
            "init": "convert", "source": str(root / "wavlm"), "num_layers": 3,
            "config": {"lookahead_size": "chunk", "front_pad": "kernel-stride", "chunk_ms": 200},
        },
    }  # fmt: skip
    values = recipe_values(root, root / "run", **changes)
    del values["objective"]
    values["student"].pop("preset")
    values["student"]["config"] = changes["student"]["config"]
    values["stages"] = [
        {"name": "positional", "objective": {"positional": {"teacher": "wavlm"}}, "optimiser": {"lr": 3e-3}},
        {
            "name": "encoder",
            "objective": {"layerwise": [{"teacher": "wavlm", "layers": 3}]},
            "student": {"freeze": ["encoder.positional_embedding.*", "encoder.relative_embedding.*"]},
        },
    ]
    stages = build_stages(values, ["stages.positional.steps=30"])
    folder = distill(stages, progress=False)
    losses = [line["loss"] for line in told(root / "run" / "positional")]
    assert losses[-1] < 0.8 * losses[0]
    start = workshop.build_student(stages[0].student)
    positional, encoder = sw.load(root / "run" / "positional" / "final"), sw.load(folder)
    moved = {
        name for name, w in positional.state_dict().items() if not torch.equal(w, start.state_dict()[name])
    }
    assert moved == {f"encoder.positional_embedding.conv.{kind}" for kind in ("weight", "bias")}
    kept = ("encoder.positional_embedding.", "encoder.relative_embedding.")
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, positional.state_dict()[name]) == name.startswith(kept), name
    assert set(told(root / "run" / "encoder", "validation.jsonl")[-1]["chunks"]["whole"]["pairs"]) == {
        f"wavlm/mse/{layer}-{layer}" for layer in (1, 2, 3)
    }


def test_a_student_can_learn_from_its_own_whole_recording_pass(root: Path) -> None:
    tiny_model(dtype=torch.float32, lookahead_size="chunk", seed=1).save_pretrained(root / "start")
    values = recipe_values(root, root / "run", steps=40, augment=None, teachers=[], optimiser={"lr": 1e-3})
    values["student"] = {"init": "checkpoint", "source": str(root / "start")}
    values["objective"] = {"pairs": [{"teacher": "self", "student_layer": -1, "teacher_layer": -1}]}
    values["chunks"] = [{"ms": 100}, {"ms": "whole"}]
    distill(build_stages(values), progress=False)
    lines = told(root / "run", "validation.jsonl")
    assert lines[0]["chunks"]["whole"]["loss"] == pytest.approx(0, abs=1e-10)
    assert lines[-1]["chunks"]["100"]["loss"] < 0.9 * lines[0]["chunks"]["100"]["loss"]


def test_targets_are_measured_where_the_objective_needs_it(root: Path) -> None:
    pairs = [{"teacher": "mel", "student_layer": 2, "target_norm": "channel"}]
    train(root, objective={"pairs": pairs})
    state = torch.load(root / "run" / "checkpoints" / "step-00000008.pt", weights_only=True)["task"]
    (frames,) = (value for name, value in state.items() if name.endswith(".frames"))
    assert frames > 500


def test_training_data_cannot_be_the_data_to_measure_on(root: Path) -> None:
    source = {"path": "voices/manifest.tsv", "where": {"split": ["train"]}}
    with pytest.raises(ConfigError, match=r"in data\.train and in data\.dev"):
        train(root, data={"train": [source], "dev": [source]})


def with_gradient_scaling(runtime: Any) -> Any:
    """Fabric with float16 and a scaler on the CPU, where it would choose bfloat16 of its own."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

    torch.set_num_threads(1)
    # It starts too high on purpose: the first steps overflow.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=3)
    return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_trains_and_resumes(
    root: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    if precision == "16-mixed":
        monkeypatch.setattr("streaming_wavlm.distill.trainer.build_fabric", with_gradient_scaling)
    runtime = {"precision": precision}
    weights = sw.load(train(root, "whole", runtime=runtime)).state_dict()
    step_once = Stepper.__call__

    def crashing(self: Stepper, step: int, *arguments: Any) -> Any:
        if step == 5:
            raise InterruptedError
        return step_once(self, step, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "__call__", crashing)
        with pytest.raises(InterruptedError):
            train(root, "run", runtime=runtime)
    resumed = sw.load(train(root, "run", runtime=runtime)).state_dict()
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)
    assert told(root / "run") == told(root / "whole")
    state = torch.load(root / "run" / "checkpoints" / "step-00000008.pt", weights_only=True)
    if precision == "16-mixed":
        assert 0 < told(root / "run")[-1]["skipped"] < 8
        assert state["scaler"]["scale"] < 2.0**20


def test_matrices_decay_and_the_rest_does_not() -> None:
    student = tiny_model(dtype=torch.float32)
    student.norm.requires_grad_(False)
    decaying, others = workshop.build_optimiser(
        student, OptimiserSettings(weight_decay=0.1), True
    ).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(weight): name for name, weight in student.named_parameters()}
    assert "encoder.layers.0.feed_forward.in_proj.weight" in {names[id(w)] for w in decaying["params"]}
    assert all(weight.ndim > 1 for weight in decaying["params"])
    found = {names[id(weight)] for weight in others["params"]}
    assert {"encoder.layers.0.attention.gru_rel_pos_const", "feature_extractor.layers.0.norm.weight"} <= found
    assert len(names) - 2 == len(decaying["params"]) + len(others["params"])  # what is frozen is in neither
