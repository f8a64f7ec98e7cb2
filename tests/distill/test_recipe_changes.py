from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lab import make_corpus, recipe_values
from streaming_wavlm.distill.recipe import build_stages
from streaming_wavlm.distill.recipe_changes import forbidden_changes
from streaming_wavlm.distill.trainer import distill
from streaming_wavlm.experiment import to_values
from tiny import tiny_model

STAGES = [{"name": "one"}, {"name": "two"}]


def values(out: Path | str, *words: str, source: str | None = None, **changes: Any) -> dict[str, Any]:
    changes = {"teachers": [{"name": "mel", "kind": "logmel", "mels": 8, "cache": "targets"}], **changes}
    given = recipe_values(Path(), Path(out), **changes)
    if source is not None:
        given["student"] = {"init": "checkpoint", "source": source}
    return dict(to_values(build_stages(given, words)[-1]))


@pytest.mark.parametrize(
    "word", ["steps=9", "accumulate=2", "out=b/two", "runtime.devices=2", "teachers.0.cache=elsewhere"]
)
def test_what_may_change(word: str) -> None:
    assert not forbidden_changes(values("a/two"), values("a/two", word))


@pytest.mark.parametrize(
    "word", ["seed=9", "teachers.0.cache=null", "teachers.0.mels=9", "student.init=convert", "chunks=[]"]
)
def test_what_may_not(word: str) -> None:
    before = values("a/two", source="a/one/final")
    assert len(forbidden_changes(before, values("a/two", word, source="a/one/final"))) == 1


@pytest.mark.parametrize(
    ("out", "source", "allowed"),
    [
        ("b/two", "b/one/final", True),
        ("/mnt/b/two", "/mnt/b/one/final", True),
        ("b/two", "a/one/final", True),  # the run alone has moved
        ("a/two", "b/one/final", False),
        ("b/two", "b/other/final", False),
        ("b/two", "elsewhere", False),
    ],
)
def test_a_start_may_move_with_its_run(out: str, source: str, allowed: bool) -> None:
    found = forbidden_changes(values("a/two", source="a/one/final"), values(out, source=source))
    assert list(found) == ([] if allowed else ["student.source"])


def test_a_staged_run_and_its_teacher_may_be_moved(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    tiny_model(1, dtype=torch.float32).save_pretrained(tmp_path / "teacher")

    def go(out: str, teacher: str, steps: int) -> Path:
        teachers = [{"name": "ref", "kind": "reference", "source": str(tmp_path / teacher)}]
        pairs = [{"teacher": "ref", "student_layer": 2}]
        changes = {"teachers": teachers, "objective": {"pairs": pairs}, "stages": STAGES, "steps": steps}
        return distill(build_stages(recipe_values(tmp_path, tmp_path / out, **changes)), progress=False)

    go("a", "teacher", 2)
    shutil.move(tmp_path / "a", tmp_path / "b")
    shutil.move(tmp_path / "teacher", tmp_path / "moved")
    assert go("b", "moved", 3) == tmp_path / "b" / "two" / "final"
