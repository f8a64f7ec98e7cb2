"""What a command line is taken to mean, and what is refused before S3PRL begins."""

from __future__ import annotations

import argparse

import pytest
import torch
import yaml

from streaming_wavlm.errors import (
    CheckpointNotFoundError,
    MissingDependencyError,
    SuperbError,
    UnknownKeyError,
)
from streaming_wavlm.superb import command, compat
from streaming_wavlm.superb.tasks import CONFIGS

TRAIN = ["-m", "train", "-u", "streaming_wavlm_400ms", "-k", "mini", "-d", "voxceleb1", "-n", "exp"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


@pytest.fixture
def experiment(elsewhere):
    """What S3PRL leaves behind, with checkpoints of steps 9 and 10."""
    folder = elsewhere / "result" / "downstream" / "exp"
    folder.mkdir(parents=True)
    args = argparse.Namespace(
        upstream="streaming_wavlm_200ms", upstream_ckpt="saved.pt", upstream_model_config=None, device="cuda",
        downstream="voxceleb1", mode="train", override=None, hub="torch", expdir=str(folder), local_rank=None,
    )  # fmt: skip
    for step in (9, 10):
        torch.save({"Args": args, "Config": {"step": step}}, folder / f"states-{step}.ckpt")
    return folder


def test_the_task_brings_superbs_config_unless_one_is_given_or_prepared(elsewhere) -> None:
    asked = command.read(TRAIN)
    assert asked.added == ("--device", "cpu", "-c", str(CONFIGS / "voxceleb1.yaml"))
    assert asked.config["runner"]["total_steps"] == 200_000

    prepared = elsewhere / "data" / "voxceleb1" / "config.yaml"
    prepared.parent.mkdir(parents=True)
    prepared.write_text("mine: prepared")
    assert command.read(TRAIN).added[-1] == "data/voxceleb1/config.yaml"

    s3prls = elsewhere / "downstream" / "voxceleb1" / "config.yaml"
    s3prls.parent.mkdir(parents=True)
    s3prls.write_text("mine: s3prl")
    assert command.read(TRAIN).config == {"mine": "s3prl"}
    assert "-c" not in command.read(TRAIN).added

    (elsewhere / "own.yaml").write_text("mine: own")
    assert command.read([*TRAIN, "-c", "own.yaml"]).config == {"mine": "own"}


def test_the_device_is_s3prls_where_there_is_cuda_or_one_is_given(monkeypatch) -> None:
    assert "--device" not in command.read([*TRAIN, "--device", "cuda:1"]).added
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "--device" not in command.read(TRAIN).added


def test_overrides_apply_to_arguments_and_config(capsys) -> None:
    pytest.importorskip("s3prl")
    asked = command.read([*TRAIN, "-o", "args.upstream_ckpt=other.pt,,config.runner.total_steps=7"])
    assert asked.args.upstream_ckpt == "other.pt"
    assert asked.config["runner"]["total_steps"] == 7
    # S3PRL says so when it applies them itself.
    assert "Override" not in capsys.readouterr().err


def test_other_names_of_a_task_become_s3prls(elsewhere) -> None:
    for name in ("sf", "KS", "keyword_spotting"):
        asked = command.read([*TRAIN, "-d", name])
        assert asked.args.downstream == "speech_commands"
        assert asked.added == (
            "-d",
            "speech_commands",
            "--device",
            "cpu",
            "-c",
            str(CONFIGS / "speech_commands.yaml"),
        )


def test_an_evaluation_takes_the_split_that_the_task_has(elsewhere) -> None:
    evaluate = ["-m", "evaluate", *TRAIN[2:]]
    assert "-t" not in command.read(evaluate).added
    evaluate += ["-d", "asr"]
    assert command.read(evaluate).added[-2:] == ("-t", "test-clean")
    assert "-t" not in command.read([*evaluate, "-t", "dev-clean"]).added


def test_slot_filling_asks_for_a_checkout(hub) -> None:
    with pytest.raises(SuperbError, match=r"ctc \(slot filling .*add --s3prl FOLDER"):
        command.check(command.read([*TRAIN, "-d", "ctc", "-u", "fbank"]))


def test_a_config_that_lacks_what_the_expert_reads_is_a_named_error(elsewhere, hub) -> None:
    for split in ("train", "dev", "test"):
        (elsewhere / split).mkdir()
    loader = {f"{split}_dir": split for split in ("train", "dev", "test")}
    (elsewhere / "c.yaml").write_text(yaml.safe_dump({"downstream_expert": {"loaderrc": loader}}))
    asked = command.read([*TRAIN, "-d", "diarization", "-u", "fbank", "-c", "c.yaml"])
    command.check(asked)
    with pytest.raises(SuperbError, match=r"'datarc'.*own config is .*diarization\.yaml"):
        command.examine(asked)


def test_a_past_experiment_decides_all_but_the_device(experiment) -> None:
    asked = command.read(["-m", "evaluate", "-e", "result/downstream/exp"])
    assert asked.config == {"step": 10}
    assert (asked.args.upstream, asked.args.upstream_ckpt) == ("streaming_wavlm_200ms", "saved.pt")
    assert (asked.args.mode, asked.args.device) == ("evaluate", None)
    assert asked.added == ("--device", "cpu")
    assert command.read(["-m", "evaluate", "-e", str(experiment / "states-9.ckpt")]).config == {"step": 9}


def test_an_experiment_goes_on_where_it_is(experiment, elsewhere, monkeypatch) -> None:
    argv = ["-m", "evaluate", "-e", str(experiment)]
    assert "-o" not in command.read(argv).added
    moved = elsewhere / "it's, = moved"
    experiment.rename(moved)
    monkeypatch.chdir(moved)
    for past in (moved, moved / "states-9.ckpt", "."):
        found = command.read(["-m", "evaluate", "-e", str(past), "-o", "config.step=3"])
        assert found.args.expdir == str(moved)
        assert found.config == {"step": 3}
    mine = command.read([*argv[:3], str(moved), "-o", "args.expdir='mine'"])
    assert mine.args.expdir == "mine"
    assert "-o" not in mine.added


def test_auto_resume_goes_on_with_what_is_there_and_else_begins(experiment) -> None:
    assert command.read([*TRAIN, "-a"]).config == {"step": 10}
    assert command.read([*TRAIN[:-1], "new", "-a"]).config["runner"]["total_steps"] == 200_000


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-m", "train"], "-d is missing"),
        (["-m", "train", "-d", "voxceleb1"], "-u is missing"),
        (["-m", "train", "-d", "voxceleb1", "-u", "fbank"], "-n is missing"),
        ([*TRAIN, "-d", "nosuch"], "'nosuch' has no config here.*configs for asr, ctc"),
        ([*TRAIN, "-c", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["-m", "evaluate", "-e", "nowhere"], "there is no experiment nowhere"),
        (["-m", "evaluate", "-e", "."], "no states-.*.ckpt is in it"),
    ],
)
def test_what_is_no_experiment_is_a_named_error(argv, message) -> None:
    with pytest.raises(SuperbError, match=message):
        command.read(argv)


@pytest.mark.parametrize("text", ["", "- a\n- b", "a: [", "\udcff"])
def test_a_config_that_is_none_is_a_named_error(text, elsewhere) -> None:
    (elsewhere / "c.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(SuperbError, match=r"c\.yaml"):
        command.read([*TRAIN, "-c", "c.yaml"])


def test_a_damaged_experiment_is_a_named_error(experiment) -> None:
    (experiment / "states-11.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(SuperbError, match=r"states-11\.ckpt is no experiment"):
        command.read(["-m", "evaluate", "-e", str(experiment)])


def test_an_override_that_is_none_is_a_named_error() -> None:
    pytest.importorskip("s3prl")
    with pytest.raises(SuperbError, match="takes KEY=VALUE"):
        command.read([*TRAIN, "-o", "runner.total_steps"])


def test_the_checkpoint_is_refused_before_s3prl_is_looked_for(monkeypatch, elsewhere) -> None:
    def never(*_) -> None:
        raise AssertionError

    monkeypatch.setattr(command, "register", never)
    with pytest.raises(CheckpointNotFoundError, match=r"nowhere\.pt"):
        command.check(command.read([*TRAIN, "-k", "nowhere.pt"]))
    (elsewhere / "bad.yaml").write_text("dims: 3")
    with pytest.raises(UnknownKeyError, match="did you mean 'dim'"):
        command.check(command.read([*TRAIN, "-g", "bad.yaml"]))


def test_unknown_upstreams_tasks_and_missing_data_are_named_errors(hub, elsewhere, corpus) -> None:
    config = ["-c", str(corpus / "config.yaml")]
    with pytest.raises(SuperbError, match="no upstream 'fbnk'; did you mean 'fbank'"):
        command.check(command.read([*TRAIN, "-u", "fbnk", *config]))
    with pytest.raises(SuperbError, match="no task 'voxceleb2'; did you mean 'voxceleb1'"):
        command.check(command.read([*TRAIN, "-d", "voxceleb2", "-u", "fbank", *config]))
    with pytest.raises(SuperbError, match=r"recordings at data/voxceleb1 .*superb prepare voxceleb1"):
        command.check(command.read(TRAIN))
    checked = command.check(command.read([*TRAIN, *config]))
    assert checked is not None
    assert checked.model.config.chunk_ms == 400
    assert command.check(command.read([*TRAIN, "-u", "fbank", *config])) is None


def test_a_library_that_a_task_needs_is_named(hub, monkeypatch, corpus) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3prl.downstream.emotion.expert", None)

    def missing(name: str):
        raise ModuleNotFoundError("No module named 'torch_extra'", name="torch_extra")

    monkeypatch.setattr(command.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match="pip install torch_extra"):
        command._check_task("emotion")


def test_without_s3prl_the_error_names_the_extra(monkeypatch) -> None:
    monkeypatch.setattr(
        compat, "require", lambda name, why: (_ for _ in ()).throw(MissingDependencyError(name))
    )
    with pytest.raises(MissingDependencyError, match="s3prl"):
        command.check(command.read([*TRAIN, "-u", "fbank"]))
