"""``streaming-wavlm superb report``: its options, and what it prints."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from streaming_wavlm.cli import superb_report
from streaming_wavlm.errors import SuperbError
from streaming_wavlm.presets import UPSTREAMS
from streaming_wavlm.superb import report
from streaming_wavlm.superb.tasks import TASKS


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    superb_report.add_parser(parser.add_subparsers(dest="action"))
    return parser.parse_args(["report", *words])


@pytest.fixture
def asked(monkeypatch):
    """Run the command without the work; the request comes back, or what it failed with."""
    kept = {}

    def pretend(request, progress):
        kept["request"] = request
        progress.update(0, 2, "asr, about 3 min left")
        progress.update(0, 2, "asr, about 3 min left")
        progress.say("something [stays]")
        return report.Outcome((Path("out/report.md"),), kept.get("failed", ()))

    monkeypatch.setattr(report, "make", pretend)

    def run(*words: str, failed: tuple[str, ...] = ()):
        kept["failed"] = failed
        status = superb_report.run(parse(*words))
        return kept["request"], status

    return run


def test_all_ten_tasks_on_fbank_and_ours_unless_told_otherwise(asked) -> None:
    request, status = asked("-k", "mini")
    assert status == 0
    assert request.tasks == tuple(TASKS)
    assert request.upstreams[0] == "fbank"
    assert set(request.upstreams[1:]) == set(UPSTREAMS)
    assert (request.seeds, request.rates, request.heads) == (1, (), ("published",))
    assert (request.source, request.features_gb) == ("embedded", 20.0)


def test_every_option_arrives(asked) -> None:
    request, _ = asked(
        "--tasks", "SID, ks,sf,asr", "--upstreams", "fbank,apc,fbank", "-k", "c.pt", "-g", "c.yaml", "--set",
        "bench:/data", "--out", "there", "--seeds", "3", "--search-lr", "1e-2,1e-3", "--heads", "both",
        "--features-gb", "2.5", "--threads", "1", "--device", "cpu", "-o", "config.a=1,,config.b='x'",
        "-o", "config.c=[1, 2]", "-o", "config.d=word",
    )  # fmt: skip
    assert request.tasks == ("voxceleb1", "speech_commands", "asr")
    assert request.upstreams == ("fbank", "apc")
    assert (request.ckpt, request.model_config, request.source) == ("c.pt", "c.yaml", "bench:/data")
    assert (request.out, request.seeds, request.rates) == (Path("there"), 3, (1e-2, 1e-3))
    assert request.heads == ("published", "causal")
    assert (request.features_gb, request.threads, request.device) == (2.5, 1, "cpu")
    assert request.override == {"config.a": 1, "config.b": "x", "config.c": [1, 2], "config.d": "word"}


def test_the_usual_rates_are_searched_when_none_are_given(asked) -> None:
    assert asked("-k", "mini", "--search-lr")[0].rates == report.RATES


@pytest.mark.parametrize(
    "words",
    [
        ["-k", "a b.pt"],
        ["-k", "m", "--search-lr", "--heads", "both", "--threads", "2"],
        ["--tasks", "asr", "-k", "m", "-g", "x.yaml", "--search-lr", "1e-2", "--features-gb", "0", "--device",
         "cpu", "-o", "config.a='b c'", "-o", "x.y=1", "--seeds", "2", "--set", "bench:a", "--out", "o"],
    ],
)  # fmt: skip
def test_the_command_that_is_printed_asks_for_the_same(words) -> None:
    arguments = parse(*words)
    command = shlex.split(superb_report.command_line(arguments))
    assert command[:3] == ["streaming-wavlm", "superb", "report"]
    again = parse(*command[3:])
    assert vars(again) == vars(arguments)


def test_a_failure_is_the_exit_status(asked, capsys) -> None:
    _, status = asked("-k", "mini", failed=("asr on fbank",))
    assert status == 1
    said = capsys.readouterr()
    assert "1 failed (the reasons are in the report): asr on fbank" in said.out
    assert "wrote out/report.md" in said.out


def test_without_a_terminal_progress_is_lines_and_none_is_repeated(asked, capsys) -> None:
    asked("-k", "mini")
    assert capsys.readouterr().err.splitlines() == [
        "superb report: 0 of 2: asr, about 3 min left",
        "superb report: something [stays]",
    ]


def test_with_a_terminal_progress_is_a_bar(monkeypatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with superb_report.Display() as display:
        display.update(1, 2, "asr")
        display.say("[asr] failed")
        assert display._rich.tasks[0].completed == 1
        assert display._rich.tasks[0].fields["note"] == "asr"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--search-lr", "fast"], "numbers with commas between"),
        (["-o", "config.a"], "KEY=VALUE"),
        (["-o", "=1"], "KEY=VALUE"),
        (["--tasks", "voxceleb2"], "voxceleb"),
    ],
)
def test_what_makes_no_sense_is_a_clear_error(asked, words, message) -> None:
    with pytest.raises(SuperbError, match=message):
        asked("-k", "mini", *words)
