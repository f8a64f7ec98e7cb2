"""``tools/train_head.py``: where the new head goes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lab_heads import head
from streaming_wavlm.heads import load_head, save_head

SCRIPT = Path(__file__).parents[2] / "tools" / "train_head.py"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_head", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_folder_that_is_no_head_is_refused_before_anything_is_done(
    tool: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    monkeypatch.setattr(sys, "argv", ["train_head.py", "data", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        tool.main()
    assert caught.value.code == 2
    assert "is there and is no head" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def test_a_head_takes_the_place_of_another(tool: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    assert tool.may_replace(folder)
    save_head(head("words"), folder)
    assert tool.may_replace(folder)
    tool.put(head("orders"), "a card", folder)
    assert load_head(folder).config.name == "orders"
    assert (folder / "README.md").read_text() == "a card"
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_the_old_head_stays_until_the_new_one_is_whole(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_head(head("words"), tmp_path / "words")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(tool, "save_head", fail)
    with pytest.raises(OSError, match="full"):
        tool.put(head("orders"), "a card", tmp_path / "words")
    assert load_head(tmp_path / "words").config.name == "words"
