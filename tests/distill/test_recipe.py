from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab import recipe_values, toy_recipe
from streaming_wavlm.cli import distill
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.distill.recipe import build_stages, load_recipe, shipped_recipes
from streaming_wavlm.distill.schedule import ChunkSampler
from streaming_wavlm.errors import ConfigError, UnknownKeyError
from streaming_wavlm.experiment import to_values, to_yaml

OUT = Path("runs/x")


def values(**changes: Any) -> dict[str, Any]:
    return recipe_values(Path(), OUT, **changes)


@pytest.mark.parametrize(
    "name",
    ["mini", "mini-continued", "mini-whitened", "mini-voices", "wavlm-large-12", "wavlm-large-12-one-stage"],
)
def test_shipped_recipes_are_found_by_name_and_are_complete(name: str) -> None:
    assert name in shipped_recipes()
    for stage in load_recipe(name):
        config = StreamingWavLMConfig.preset("large" if "large" in name else "mini")
        ChunkSampler(stage.chunks, StreamingWavLMConfig.from_dict(stage.student.config, config), stage.seed)
        assert build_stages(to_values(stage)) == (stage,)


def test_the_published_stages_are_what_was_published() -> None:
    positional, encoder = load_recipe("wavlm-large-12")
    assert positional.objective.positional is not None
    assert positional.student.init == "convert"
    assert (positional.optimiser.lr, encoder.optimiser.lr) == (5e-4, 5e-5)
    assert [pair.weight for pair in encoder.objective.all_pairs()][::11] == [0.5, 1.0]
    assert encoder.student.init == "checkpoint"
    assert encoder.student.source == str(Path(positional.out) / "final")
    assert "encoder.relative_embedding.*" in encoder.student.freeze


def test_every_command_with_several_processes_keeps_the_audio_of_a_step() -> None:
    recipes = resources.files("streaming_wavlm") / "recipes"
    docs = Path(__file__).parents[2] / "docs" / "distillation.md"
    texts = [
        distill.__doc__,
        distill._EPILOG,
        docs.read_text(),
        (recipes / "wavlm-large-12.yaml").read_text(),
    ]
    commands = re.findall(r"torchrun .*", "\n".join(text.replace("\\\n", "") for text in texts))
    assert len(commands) >= 4
    for command in commands:
        words = command.split()
        places = [words.index(name) + 1 for name in ("--nnodes", "--nproc-per-node") if name in words]
        processes = np.prod([int(words[place]) for place in places])
        stage = load_recipe(words[words.index("--config") + 1], [word for word in words if "=" in word])[-1]
        assert processes * stage.accumulate * stage.data.batch_seconds == 16 * 60, command


def test_a_file_is_read_and_words_go_over_it(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(to_yaml(toy_recipe(tmp_path, OUT)))
    (recipe,) = load_recipe(path, ["optimiser.lr=3e-3", "chunks=[{ms: whole}]", "augment=null"])
    assert recipe.optimiser.lr == 3e-3
    assert [choice.ms for choice in recipe.chunks] == ["whole"]
    assert recipe.augment is None


def test_an_unknown_name_or_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'minni'; did you mean 'mini'"):
        load_recipe("minni")
    with pytest.raises(UnknownKeyError, match=r"recipe\.optimiser has the key 'lrr'.*'lr'"):
        build_stages(values(), ["optimiser.lrr=3"])
    with pytest.raises(UnknownKeyError, match=r"recipe\.teachers\.0 has the key 'sauce'"):
        build_stages(values(teachers=[{"name": "mel", "kind": "logmel", "sauce": "x"}]))
    with pytest.raises(ConfigError, match="asks the teacher 'mel'; did you mean 'mels'"):
        build_stages(values(teachers=[{"name": "mels", "kind": "logmel"}]))
    with pytest.raises(ConfigError, match="teachers need names of their own"):
        build_stages(values(teachers=[{"name": "mel", "kind": "logmel"}] * 2))


def test_stages_lie_over_the_rest_and_each_starts_from_the_one_before() -> None:
    stages = [
        {"name": "first", "steps": 3, "optimiser": {"lr": 0.1}},
        {"name": "second", "chunks": [{"ms": 400}]},
        {"name": "third", "student": {"init": "checkpoint", "source": "elsewhere"}},
    ]
    built = build_stages(
        values(stages=stages), ["seed=9", "stages.second.steps=5", "optimiser.betas=[0.5, 0.6]"]
    )
    assert [stage.steps for stage in built] == [3, 5, 8]
    assert [stage.seed for stage in built] == [9, 9, 9]
    assert built[0].optimiser.lr == 0.1
    assert {stage.optimiser.betas for stage in built} == {(0.5, 0.6)}
    assert [stage.out for stage in built] == [str(OUT / name) for name in ("first", "second", "third")]
    assert [stage.student.init for stage in built] == ["scratch", "checkpoint", "checkpoint"]
    assert [stage.student.source for stage in built] == [None, str(OUT / "first" / "final"), "elsewhere"]


@pytest.mark.parametrize("word", ["stages.fourth.steps=3", "stages.steps=3"])
def test_an_override_of_no_stage_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="names no stage"):
        build_stages(values(stages=[{"name": "first"}]), [word])


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"seed": -1},
        {"accumulate": 0},
        {"data": {"batch_seconds": 0.5}},
        {"data": {"train": []}},
        {"optimiser": {"lr": 0}},
        {"optimiser": {"betas": [0.9, 1.0]}},
        {"optimiser": {"betas": [-0.1, 0.9]}},
        {"optimiser": {"eps": -1}},
        {"optimiser": {"weight_decay": -1}},
        {"optimiser": {"weight_decay": float("nan")}},
        {"runtime": {"threads": 0}},
        {"runtime": {"nodes": 0}},
        {"seed": 2**70},
        {"student": {"source": "x"}},
        {"chunks": [{"ms": 100, "weight": 0}]},
        {"stages": []},
        {"stages": [{"name": "a"}, {"name": "a"}]},
        {"stages": [{"name": "a"}, {"name": "b", "student": "checkpoint"}]},
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build_stages(values(**changes))
