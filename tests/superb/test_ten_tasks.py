"""All ten tasks on the embedded speech: trained, gone on with, evaluated to the scores that S3PRL prints."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.loading import load
from streaming_wavlm.superb import launcher
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.experiments import layer_weights, read_config, states
from streaming_wavlm.superb.scores import read_table
from streaming_wavlm.superb.tasks import TASKS, Task

# S3PRL leaves files open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
LIBRARIES = ("s3prl", "transformers", "tensorboardX", "librosa", "editdistance", "pandas", "h5py", "asteroid",
             "pesq", "pystoi", "pyannote.metrics", "sklearn", "joblib")  # fmt: skip
# Heads of a few cells: what is asked here is whether everything fits together.
SMALL = {
    "asr": {"modelrc": {"project_dim": 8, "RNNs": {"dim": [8]}}},
    "sv_voxceleb1": {"modelrc": {"input_dim": 8, "module_config": {"XVector": {"agg_dim": 8}}}},
    "diarization": {"modelrc": {"hidden_size": 8}},
    "enhancement_stft": {"modelrc": {"hidden_size": 8, "rnn_layers": 1}},
    "separation_stft": {"modelrc": {"hidden_size": 8, "rnn_layers": 1}},
}
PRINTED = {
    "asr": (r"test-clean wer: ([\d.]+)", 1),
    "voxceleb1": (r"^test acc: ([\d.]+)", 100),
    "sv_voxceleb1": (r"test-EER: ([\d.]+)", 100),
    "phone_linear": (r"libri_phone/test-\|step:\d+\|acc:([\d.]+)", 100),
    "emotion": (r"^test acc: ([\d.]+)", 100),
    "fluent_commands": (r"^test acc: ([\d.]+)", 100),
    "speech_commands": (r"^test acc: ([\d.]+)", 100),
    "enhancement_stft": (r"Average pesq of \d+ utts is ([\d.]+)", 1),
    "separation_stft": (r"Average si_sdr of \d+ utts: (-?[\d.]+)", 1),
}


class Run:
    """An experiment, and what S3PRL said when it was evaluated."""

    def __init__(self, task: Task, folder: Path, config: Path) -> None:
        self.task, self.folder, self.config, self.said = task, folder, config, ""


@pytest.fixture(scope="module", params=list(TASKS))
def run(
    request: pytest.FixtureRequest,
    checkpoint: Path,
    model_config: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A task trained for two steps, for two more, and evaluated."""
    for name in LIBRARIES:
        pytest.importorskip(name)
    task = TASKS[request.param]
    corpus = prepare(task.name, "embedded", tmp_path_factory.mktemp("corpora") / task.name)
    if task.name == "voxceleb1":
        listing = corpus.folder / "veri_test_class.txt"  # of nearly all that is embedded
        listing.write_text("".join(listing.read_text().splitlines(keepends=True)[::8]))
    config = yaml.safe_load(corpus.config.read_text())
    config["runner"] |= {"total_steps": 2, "log_step": 1, "eval_step": 2, "save_step": 1}
    merge(config["downstream_expert"], SMALL.get(task.name, {}))
    corpus.config.write_text(yaml.safe_dump(config))
    made = Run(task, tmp_path_factory.mktemp("experiments") / task.name, corpus.config)
    threads = torch.get_num_threads()
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as environment, contextlib.redirect_stdout(said):
        environment.setenv("STREAMING_WAVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.set_num_threads(1)
        on = ["--device", "cpu"]
        launcher.main(
            ["-m", "train", "-d", task.name, "-u", "streaming_wavlm_400ms", "-k", str(checkpoint),
             "-g", str(model_config), "-c", str(made.config), "-p", str(made.folder), *on]
        )  # fmt: skip
        launcher.main(["-m", "train", "-e", str(made.folder), "-o", "config.runner.total_steps=4", *on])
        launcher.main(["-m", "evaluate", "-e", str(made.folder), *on])
        made.said = said.getvalue()
    torch.set_num_threads(threads)
    return made


def merge(config: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            merge(config[key], value)
        else:
            config[key] = value


def test_it_trains_goes_on_and_is_evaluated_to_finite_scores(run) -> None:
    assert [path.name for path in states(run.folder)] == ["states-4.ckpt"]
    assert "Loading Optimizer weights from the previous experiment" in run.said
    scores = run.task.scores(run.folder)
    assert [score.metric for score in scores] == list(run.task.metrics)
    for score in scores:
        assert math.isfinite(score.value)
        assert score.value == score.combine(score.units)
        lower, upper = score.interval(draws=50)
        assert lower <= upper


def test_the_score_is_the_one_that_s3prl_prints(run) -> None:
    if run.task.name == "diarization":
        # It prints an error of frames only; here the decisions are compared with those it wrote.
        frames = list((run.folder / "scoring" / "predictions").glob("*.h5"))
        assert len(frames) == len(run.task.scores(run.folder)[0].units)
        assert (run.folder / "scoring" / "hypothesis.rttm").is_file()
        return
    pattern, scale = PRINTED[run.task.name]
    printed = float(re.findall(pattern, run.said, re.MULTILINE)[-1]) * scale
    assert run.task.scores(run.folder)[0].value == pytest.approx(printed, abs=2e-4)


def test_every_layer_has_its_weight(run) -> None:
    weights = layer_weights(run.folder)
    assert weights.shape == (2,)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert read_config(run.folder)["runner"]["total_steps"] == 4


def test_the_upstream_can_be_tuned_too(run, checkpoint, model_config, tmp_path, monkeypatch) -> None:
    """With ``-f`` the encoder learns too; the features of an encoder that learns are never kept."""
    monkeypatch.setenv("STREAMING_WAVLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STREAMING_WAVLM_FEATURES", str(tmp_path / "features"))
    folder = tmp_path / "tuned"
    with contextlib.redirect_stdout(io.StringIO()):
        launcher.main(
            ["-m", "train", "-d", run.task.name, "-u", "streaming_wavlm_400ms", "-k", str(checkpoint), "-f",
             "-g", str(model_config), "-c", str(run.config), "-p", str(folder), "--device", "cpu",
             "-o", "config.runner.total_steps=1,,config.runner.eval_step=5,,config.optimizer.lr=0.01"]
        )  # fmt: skip
    (state,) = states(folder)
    with torch.serialization.safe_globals([argparse.Namespace]):
        tuned = torch.load(state, weights_only=True)["Upstream"]
        assert "Upstream" not in torch.load(states(run.folder)[-1], weights_only=True)
    before = load(checkpoint, config=model_config).state_dict()
    moved = [name for name, value in before.items() if not torch.equal(tuned[f"model.{name}"], value)]
    assert any(name.startswith("feature_extractor.") for name in moved)
    assert any(name.startswith("encoder.layers.1.") for name in moved)
    # But for what S3PRL tries the encoder on before it learns.
    assert len(list((tmp_path / "features").rglob("*.npy"))) <= 1


def test_units_have_names_where_s3prl_wrote_none(run) -> None:
    table = run.folder / "streaming_wavlm-scores-test.tsv"
    if run.task.name not in ("phone_linear", "sv_voxceleb1", "enhancement_stft", "separation_stft"):
        assert not table.exists()
        return
    lines = table.read_text().splitlines()
    assert len(lines) == 1 + len(run.task.scores(run.folder)[0].units)
    assert len({line.split("\t")[0] for line in lines}) == len(lines)
    with pytest.raises(SuperbError, match="does not hold"):
        read_table(run.folder, "test", "another")
    assert not np.isnan([float(value) for line in lines[1:] for value in line.split("\t")[1:]]).any()


@pytest.mark.parametrize("name", ["diarization", "sv_voxceleb1"])
def test_what_is_too_short_for_a_head_or_a_filterbank_is_filled_up(name, hub, tmp_path) -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
    TASKS[name].record()
    TASKS[name].record()
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(16480, 0.5), 16000)
    if name == "diarization":
        from s3prl.downstream.diarization.dataset import DiarizationDataset

        for file, line in (("segments", "u x 0 1.03"), ("utt2spk", "u A"), ("spk2utt", "A u"),
                           ("wav.scp", f"x {path}"), ("reco2dur", "x 1.03")):  # fmt: skip
            (tmp_path / file).write_text(f"{line}\n")
        chunks = DiarizationDataset("train", str(tmp_path), chunk_size=50, frame_shift=320, num_speakers=2)
        assert [(len(wave), len(labels)) for wave, labels in (chunks[0], chunks[1])] == [
            (16000, 50),
            (1600, 1),
        ]
        return
    from s3prl.downstream.sv_voxceleb1.dataset import SpeakerVerifi_test

    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), 16000)
    (tmp_path / "trials").write_text("1 a.wav silent.wav\n")
    trials = SpeakerVerifi_test({}, tmp_path, tmp_path / "trials")
    lengths = {Path(where).name: len(wave) for wave, where in (trials[0], trials[1])}
    assert lengths["silent.wav"] == 16 * 320
    assert lengths["a.wav"] > 16000
