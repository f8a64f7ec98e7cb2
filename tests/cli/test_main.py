"""The command as a whole: help, versions, errors and exit statuses."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from streaming_wavlm.cli import main
from streaming_wavlm.cli.main import COMMANDS
from streaming_wavlm.errors import AudioError


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def raising(error: BaseException) -> Callable[[object], int]:
    def run(_: object) -> int:
        raise error

    return run


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_examples_and_loads_no_torch(command: str | None) -> None:
    program = f"""
import sys
from streaming_wavlm.cli import main
try:
    main({[*([command] if command else []), "--help"]!r})
except SystemExit as exit:
    assert exit.code == 0
assert not {{"torch", "numpy", "s3prl"}} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "examples:\n  streaming-wavlm " in done.stdout


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("streaming-wavlm")


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming_wavlm", "info", "no.pt"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("streaming-wavlm: ")
    assert "no.pt" in done.stderr


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["info"], ["info", "mini", "--nonsense"]])
def test_a_wrong_command_line_is_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: streaming-wavlm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (AudioError("a.wav is no audio"), 2, "streaming-wavlm: a.wav is no audio\n"),
        (KeyboardInterrupt(), 130, "streaming-wavlm: interrupted\n"),
        (
            RuntimeError("odd"),
            1,
            "streaming-wavlm: RuntimeError: odd (run it again with --debug to see where)\n",
        ),
    ],
)
def test_errors_are_one_line_and_a_status(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(COMMANDS["info"], "run", raising(error))
    assert main(["info", "mini"]) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("argv", [["--debug", "info", "mini"], ["info", "--debug", "mini"]])
@pytest.mark.parametrize("error", [AudioError("a.wav is no audio"), RuntimeError("odd")])
def test_debug_shows_the_traceback(
    argv: list[str], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMANDS["info"], "run", raising(error))
    with pytest.raises(type(error)):
        main(argv)


@pytest.mark.parametrize(("argv", "level"), [([], "WARNING"), (["-v"], "INFO"), (["-v", "-v"], "DEBUG")])
def test_verbosity_sets_the_level(argv: list[str], level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMANDS["info"], "run", lambda _: 0)
    root = logging.getLogger()
    root.handlers.clear()
    assert main([*argv, "info", "mini"]) == 0
    assert logging.getLevelName(root.level) == level


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = """
import runpy
import streaming_wavlm.cli.info as info
def endless(arguments):
    while True:
        print("line")
info.run = endless
runpy.run_module("streaming_wavlm", run_name="__main__")
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, "info", "mini"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""
