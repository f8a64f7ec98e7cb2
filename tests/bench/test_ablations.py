"""``benchmarks/ablations.py``: which runs and probes count as done."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from streaming_wavlm.distill.recipe import load_recipe
from streaming_wavlm.experiment import to_yaml

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ablations.py"


@pytest.fixture
def ablations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bench:
    """Stands for the two commands that are run, and remembers what they were asked."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.probed: list[tuple[str, str]] = []

    def run(self, command: list[str], **options: Any) -> None:
        assert options["check"]
        assert "stderr" not in options  # whatever goes wrong is to be seen
        if "distill" in command:
            words = [word for word in command if "=" in word]
            (recipe,) = load_recipe("mini", words)
            folder = Path(recipe.out)
            (folder / "final").mkdir(parents=True)
            (folder / "recipe.yaml").write_text(to_yaml(recipe))
            self.trained.append(folder.name)
            return
        asked: dict[str, list[str]] = {}
        for word in command[3:]:
            if word.startswith("--"):
                asked[word] = []
            else:
                asked[list(asked)[-1]].append(word)
        steps = load_recipe(Path(command[2]).parent / "recipe.yaml")[0].steps
        rows = [(task, chunk) for task in asked["--tasks"] for chunk in asked["--chunks"]]
        self.probed += rows
        found = [{"task": task, "chunk": chunk, "error": float(steps)} for task, chunk in rows]
        Path(asked["--json"][0]).write_text(json.dumps(found))


def table(module: ModuleType, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    words = ["--data", "data", "--out", str(out), "--only", "as it is", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ablations.py", *words])
        module.main()
    return capsys.readouterr().out.splitlines()[-1]


def test_figures_are_of_the_recipe_that_was_asked_for(
    ablations: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench()
    monkeypatch.setattr(ablations.subprocess, "run", bench.run)
    short = ["--steps", "30", "--tasks", "kw", "--chunks", "400"]
    assert table(ablations, tmp_path, capsys, *short) == "| as it is | 30.0 |"
    assert table(ablations, tmp_path, capsys, *short) == "| as it is | 30.0 |"
    assert bench.trained == ["as-it-is"]
    assert bench.probed == [("kw", "400")]
    # More chunk sizes and tasks need no training, and only the new ones are probed.
    assert table(ablations, tmp_path, capsys, *short, "whole") == "| as it is | 30.0 | 30.0 |"
    assert bench.probed[1:] == [("kw", "whole")]
    # Other steps or words are another run, beside the first.
    short[1] = "60"
    assert table(ablations, tmp_path, capsys, *short) == "| as it is | 60.0 |"
    assert table(ablations, tmp_path, capsys, *short, "--", "seed=4") == "| as it is | 60.0 |"
    assert table(ablations, tmp_path, capsys, *short, "--", "seed=4") == "| as it is | 60.0 |"
    assert len(set(bench.trained)) == len(bench.trained) == 3
    assert all(name.startswith("as-it-is") for name in bench.trained)
