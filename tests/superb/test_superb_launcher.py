"""How the launcher begins and ends; what happens in between is in test_superb_run.py."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from streaming_wavlm.superb import launcher


@pytest.fixture
def s3prl(monkeypatch, hub):
    """A stand-in for S3PRL's runner, which keeps what it was called with."""
    module = ModuleType("s3prl.run_downstream")
    module.seen = {}

    def main() -> None:
        module.seen["argv"] = list(sys.argv)
        launcher.register()  # as other code may, while S3PRL runs
        module.seen["upstream"] = sys.modules["s3prl.hub"].streaming_wavlm_400ms(
            ckpt="x", model_config=None, refresh=False
        )

    module.main = main
    monkeypatch.setitem(sys.modules, "s3prl.run_downstream", module)
    monkeypatch.setattr(launcher.multiprocessing, "get_start_method", lambda allow_none: "fork")
    return module


def arguments(checkpoint, corpus) -> list[str]:
    return [
        "-m", "train", "-u", "streaming_wavlm_400ms", "-k", str(checkpoint), "-d", "voxceleb1", "-n", "exp",
        "-c", str(corpus / "config.yaml"), "--device", "cpu",
    ]  # fmt: skip


def test_s3prl_gets_the_command_and_the_upstream_that_was_checked(s3prl, hub, checkpoint, corpus) -> None:
    factory, argv = hub.streaming_wavlm_400ms, list(sys.argv)
    assert launcher.launch(arguments(checkpoint, corpus)) == 0
    assert s3prl.seen["argv"] == ["run_downstream.py", *arguments(checkpoint, corpus)]
    assert s3prl.seen["upstream"].model.config.num_layers == 2
    assert hub.streaming_wavlm_400ms is factory
    assert sys.argv == argv


def test_options_of_ours_do_not_reach_s3prl_and_heads_are_refused_before_it_begins(
    s3prl, checkpoint, corpus, capsys
) -> None:
    given = arguments(checkpoint, corpus)
    assert launcher.launch([*given, "--heads", "published"]) == 0
    assert s3prl.seen["argv"] == ["run_downstream.py", *given]
    s3prl.seen.clear()
    assert (
        launcher.launch([*given, "-o", "config.downstream_expert.heads='causal'", "--heads", "published"])
        == 2
    )
    assert "causal heads" in capsys.readouterr().err
    assert s3prl.seen == {}


def test_pythons_isinstance_is_back_after_s3prl(s3prl, checkpoint, corpus) -> None:
    import builtins

    python = builtins.isinstance
    s3prl.main = lambda: setattr(builtins, "isinstance", lambda *_: True)
    launcher.launch(arguments(checkpoint, corpus))
    assert builtins.isinstance is python


def test_what_is_worth_telling_of_the_corpus_is_told(s3prl, checkpoint, corpus, tmp_path, capsys) -> None:
    listing = tmp_path / "list.txt"
    lines = (corpus / "veri_test_class.txt").read_text().splitlines()
    listing.write_text("\n".join(line for line in lines if not line.startswith("1 id10002")) + "\n")
    more = ["-o", f"config.downstream_expert.datarc.meta_data='{listing}'"]
    assert launcher.launch([*arguments(checkpoint, corpus), *more]) == 0
    assert "1 speakers of dev and test are not in train" in capsys.readouterr().err


def test_an_error_of_ours_is_one_line_and_nothing_is_made(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["-m", "train", "-u", "streaming_wavlm_400ms", "-d", "voxceleb1", "-n", "exp"]
    assert launcher.launch(command, program="run_downstream.py") == 2
    said = capsys.readouterr().err
    assert said.startswith("run_downstream.py: the upstream streaming_wavlm_400ms needs a checkpoint")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_debug_adds_the_traceback(capsys) -> None:
    assert launcher.launch(["-m", "train", "--debug"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "-d is missing" in said


def test_an_error_of_s3prls_keeps_its_traceback(s3prl, checkpoint, corpus, capsys) -> None:
    def fails() -> None:
        raise ZeroDivisionError("in S3PRL")

    s3prl.main = fails
    assert launcher.launch(arguments(checkpoint, corpus)) == 1
    assert "ZeroDivisionError: in S3PRL" in capsys.readouterr().err


def test_help_is_s3prls(s3prl) -> None:
    s3prl.main = lambda: s3prl.seen.update(argv=list(sys.argv))
    launcher.main(["-h"])
    assert s3prl.seen["argv"] == ["run_downstream.py", "-h"]


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        ({}, ["-n", "x"], ["-n", "x"]),
        ({}, ["--local-rank=1"], ["--local_rank=1"]),
        ({}, ["--local-rank", "1"], ["--local_rank", "1"]),
        ({"LOCAL_RANK": "2"}, ["-n", "x"], ["-n", "x", "--local_rank", "2"]),
        ({"LOCAL_RANK": "2"}, ["--local_rank", "1"], ["--local_rank", "1"]),
    ],
)
def test_the_rank_reaches_s3prl_by_the_name_it_knows(environment, given, expected, monkeypatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launcher._distributed(given) == expected
