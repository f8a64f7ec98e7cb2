"""The progress bar: rich where somebody watches, lines where nobody does."""

from __future__ import annotations

import sys

import pytest

from streaming_wavlm.cli import progress
from streaming_wavlm.cli.progress import Bar


def test_plain_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    with Bar("extracting") as bar:
        bar.update(1, 3, "0:00:05 of audio")
    assert capsys.readouterr().err == "extracting: 1 of 3, 0:00:05 of audio\n"
    with Bar("extracting", shown=False) as bar:
        bar.update(1, 3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("installed", [True, False])
def test_on_a_terminal_it_is_a_bar_if_rich_is_there(
    installed: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    if not installed:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    with Bar("extracting") as bar:
        bar.update(2, 3, "note")
    assert ("extracting" in capsys.readouterr().err) is installed
