"""The lines of Python in ``docs/distillation.md``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import make_corpus, recipe_values
from streaming_wavlm import StreamingWavLM
from streaming_wavlm.distill.recipe import build_stages
from streaming_wavlm.experiment import to_yaml

DOCS = Path(__file__).parents[2] / "docs" / "distillation.md"


def test_the_lines_of_python_train_a_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_corpus(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(to_yaml(build_stages(recipe_values(tmp_path, Path("run")))[0]))
    (code,) = re.findall(
        r"## From Python\n\n```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )
    names: dict[str, object] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    assert isinstance(names["student"], StreamingWavLM)
    assert names["folder"] == Path("runs/mine/final")
    told = capsys.readouterr().out
    assert "layer 2 from mel" in told
    assert "voice" in told.splitlines()[-1]
