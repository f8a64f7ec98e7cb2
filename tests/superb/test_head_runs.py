"""Causal heads through S3PRL: judged after some seconds, timed in samples, trained and resumed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from head_experts import DIM, POOLED, config_of, expert_of, runner_of, say
from torch.nn.utils.rnn import pack_sequence

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb import heads
from streaming_wavlm.superb.heads import moments

PROGRAM = """
import json, sys
from pathlib import Path
from streaming_wavlm.superb import heads, register
from streaming_wavlm.superb.experiments import load_experiment
from streaming_wavlm.superb.tasks import TASKS
from streaming_wavlm.errors import SuperbError
register()
TASKS["voxceleb1"].isolate()
from s3prl import run_downstream
corpus, checkpoint, model_config, folder = ARGUMENTS
new = ["-m", "train", "-d", "voxceleb1", "-u", "streaming_wavlm_400ms", "-k", checkpoint, "-g", model_config,
       "-c", corpus + "/config.yaml", "--device", "cpu"]
past = ["-m", "evaluate", "-e", folder, "--device", "cpu"]

def run(kind, arguments, **options):
    sys.argv = ["run_downstream.py", *arguments]
    try:
        with heads.installed(kind, **options):
            run_downstream.main()
    except (SuperbError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"

states = folder + "/states-4.ckpt"
import builtins
python = builtins.isinstance
said = [
    run("causal", [*new, "-p", folder], seconds=(0.1,)),
    Path(folder, "heard-test.tsv").exists(),
    run(None, past, seconds=(0.1, 60)),
    run("published", past),
    run("published", [*new, "-p", folder + "-other", "-i", states]),
]
builtins.isinstance = python
config = load_experiment(Path(states))["Config"]
print()
print(json.dumps([said, config["downstream_expert"]]))
"""


def test_s3prl_trains_causal_heads_and_knows_them_again(
    python, corpus, checkpoint, model_config, tmp_path, hub
) -> None:
    folder = tmp_path / "exp"
    arguments = [str(path) for path in (corpus, checkpoint, model_config, folder)]
    env = {"STREAMING_WAVLM_CACHE": str(tmp_path / "cache")}
    said, expert = python(PROGRAM.replace("ARGUMENTS", repr(arguments)), env=env)
    trained, judged_in_training, evaluated, published, loaded = said
    assert trained is evaluated is None
    assert not judged_in_training
    assert expert["heads"] == "causal"
    assert expert["modelrc"]["UtteranceLevel"]["pooling"] == "RunningMean"
    assert published.startswith("SuperbError: this experiment has causal heads, and --heads published")
    assert loaded.startswith("RuntimeError")
    assert 'Unexpected key(s) in state_dict: "model.pooling.causal"' in loaded
    early, late = heads.read_heard(folder / "heard-test.tsv")
    assert (early.seconds, late.seconds) == (0.1, 60)
    assert early.units.shape == late.units.shape == (2, 1)
    predicted, truth = (
        (folder / f"test_{name}.txt").read_text().splitlines() for name in ("predict", "truth")
    )
    assert late.units[:, 0].tolist() == [float(a == b) for a, b in zip(predicted, truth, strict=True)]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, DIM, generator=generator, dtype=torch.float64) for n in (60, 20, 45, 33)]


@pytest.mark.parametrize("task", POOLED)
def test_what_is_decided_after_some_seconds_is_the_running_decision_there(
    task, features, tmp_path, monkeypatch, hub
) -> None:
    expert = expert_of(task, heads.use("causal", task, config_of(task, tmp_path)), tmp_path, monkeypatch)
    names, labels = list("abcd"), [0, 1, 0, 1]
    others = {"sv_voxceleb1": (names,), "fluent_commands": ([[n] * 3 for n in labels], names)}
    waves = [np.zeros(320 * len(feature), dtype=np.float32) for feature in features]
    runner = runner_of(task, expert, waves, others.get(task, (labels, names)), lambda _: features)
    with torch.no_grad():
        spoken = [say(task, expert, feature) for feature in features]
    early, late = heads.heard(runner, "test", [0.5, 9])
    for found, count in ((early, 25), (late, 60)):
        there = torch.stack([said[min(count, len(said)) - 1] for said in spoken])
        if task == "sv_voxceleb1":
            same = torch.nn.functional.cosine_similarity(there[[0, 1]], there[[2, 3]])
            assert np.allclose(found.units, [[1, same[0]], [0, same[1]]])
        elif task == "fluent_commands":
            slots = there.reshape(4, 3, 2).argmax(dim=-1)
            right = (slots == torch.tensor(labels)[:, None]).all(dim=1)
            assert found.units[:, 0].tolist() == right.double().tolist()
        else:
            assert found.units[:, 0].tolist() == [
                float(row.argmax() == n) for row, n in zip(there, labels, strict=True)
            ]


def test_the_trials_are_those_of_the_split(features, tmp_path, monkeypatch, hub) -> None:
    task = "sv_voxceleb1"
    expert = expert_of(task, heads.use("causal", task, config_of(task, tmp_path)), tmp_path, monkeypatch)
    expert.dev_dataset.pair_table = (("0", "b", "c"),)
    waves = [np.zeros(320 * len(feature), dtype=np.float32) for feature in features]
    runner = runner_of(task, expert, waves, (list("abcd"),), lambda _: features)
    (dev,), (test,) = (heads.heard(runner, split, [9]) for split in ("dev", "test"))
    assert dev.units[:, 0].tolist() == [0]
    assert test.units[:, 0].tolist() == [1, 0]


def test_moments_that_cannot_be_judged_are_refused(tmp_path, monkeypatch, hub) -> None:
    expert = expert_of("sv_voxceleb1", config_of("sv_voxceleb1", tmp_path), tmp_path, monkeypatch)
    runner = runner_of("sv_voxceleb1", expert, [], (), None)
    with pytest.raises(SuperbError, match=r"needs 16 frames; 0.2 s has 10; ask for 0.32 s or more"):
        heads.heard(runner, "test", [0.2])
    with pytest.raises(SuperbError, match=r"after 0 s.*above 0"):
        heads.heard(runner, "test", [1, 0])
    with pytest.raises(SuperbError, match=r"asr does not decide once.*voxceleb1"):
        heads.heard(
            SimpleNamespace(args=SimpleNamespace(downstream="asr"), downstream=runner.downstream), "test", [1]
        )


def test_a_table_of_moments_is_read_as_it_was_written(tmp_path) -> None:
    written = [
        heads.Heard(0.5, np.array([[1.0, 0.25], [0.0, -1 / 3]])),
        heads.Heard(2, np.array([[1.0, 1.0]])),
    ]
    moments.write_heard(tmp_path / "heard-test.tsv", written)
    read = heads.read_heard(tmp_path / "heard-test.tsv")
    assert [found.seconds for found in read] == [0.5, 2]
    assert all(np.array_equal(a.units, b.units) for a, b in zip(read, written, strict=True))
    (tmp_path / "other.tsv").write_text("a\tb\n")
    for name in ("other.tsv", "missing.tsv"):
        with pytest.raises(SuperbError, match=f"{name} is no table.*evaluate the experiment again"):
            heads.read_heard(tmp_path / name)


def test_a_masked_sample_waits_half_a_window_longer_than_the_features(tmp_path, hub) -> None:
    pytest.importorskip("asteroid")
    from s3prl.downstream.separation_stft.model import SepRNN

    torch.manual_seed(0)
    hop, window, length = 320, 512, 320 * 20
    project = torch.randn(hop, 16, dtype=torch.float64)
    hann = torch.hann_window(window, dtype=torch.float64)
    model = SepRNN(
        16, window // 2 + 1, num_layers=2, hidden_size=8, non_linear="sigmoid", bidirectional=False
    )
    model = model.double().eval()

    def separate(wave):
        # The quickest upstream there is: a frame of features once its 20 ms are heard.
        features = wave.reshape(-1, hop) @ project
        spectrum = torch.stft(wave, window, hop, window=hann, pad_mode="constant", return_complex=True)
        masks = model(pack_sequence([torch.cat([features, features[:0].new_zeros(1, 16)])]))
        masked = masks[0][0].T * spectrum
        return torch.istft(masked, window, hop, window=hann, length=length)

    wave = torch.randn(length, dtype=torch.float64)
    wait = 0
    with torch.no_grad():
        before = separate(wave)
        for begin in range(hop * 8, hop * 10, 7):
            changed = wave.clone()
            changed[begin:] = torch.randn(length - begin, dtype=torch.float64)
            different = torch.nonzero((separate(changed) - before).abs() > 1e-12)[:, 0]
            wait = max(wait, begin - int(different[0]))
    head = heads.latency_ms("separation_stft", "causal", {"downstream_expert": {"datarc": {"center": True}}})
    said = (20 + head) * 16
    assert said - 10 < wait <= said


def test_the_runner_is_as_before_when_the_block_ends(hub) -> None:
    from s3prl import run_downstream

    before = run_downstream.Runner, run_downstream.get_downstream_args
    with heads.installed("causal"):
        assert run_downstream.Runner is not before[0]
    with pytest.raises(ZeroDivisionError), heads.installed("causal"):
        _ = 1 / 0
    assert (run_downstream.Runner, run_downstream.get_downstream_args) == before
