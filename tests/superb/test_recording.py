"""What is changed in S3PRL's experts: measures that fail, and seeds that do not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.tasks import find_task
from streaming_wavlm.superb.tasks.recording import DEFAULT_SEED, WORST, _surviving

RATE = 16000


@pytest.fixture
def get_metrics(hub):
    """S3PRL's measures, made to survive."""
    for name in ("asteroid", "pesq", "pystoi"):
        pytest.importorskip(name)
    from asteroid.metrics import get_metrics

    return _surviving(get_metrics)


@pytest.fixture
def signals() -> tuple[np.ndarray, np.ndarray]:
    """A mixture of two sources, and the sources."""
    seconds = np.arange(2 * RATE) / RATE
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * seconds)
    noise = np.random.default_rng(0).normal(size=(2, len(seconds)))
    sources = (0.1 * noise * np.stack([loud, 1 - loud])).astype(np.float32)
    return sources.sum(0, keepdims=True), sources


def separated(get_metrics, mixture, sources, made):
    return get_metrics(
        mixture, sources, made, sample_rate=RATE, metrics_list=["si_sdr"], compute_permutation=True
    )


def test_a_source_that_the_head_made_silence_of_has_the_worst_value(get_metrics, signals) -> None:
    mixture, sources = signals
    good = separated(get_metrics, mixture, sources, sources + 0.1 * mixture)
    silent = separated(get_metrics, mixture, sources, np.stack([sources[0], 0 * sources[1]]))
    assert silent["si_sdr"] == WORST["si_sdr"] < good["si_sdr"]
    assert silent["input_si_sdr"] == pytest.approx(good["input_si_sdr"])


def test_a_clip_without_a_reference_has_no_value_whatever_was_made_of_it(get_metrics, signals) -> None:
    mixture, sources = signals
    reference = np.stack([sources[0], 0 * sources[1]])
    for made in (sources, 0 * sources):
        assert np.isnan(separated(get_metrics, mixture, reference, made)["si_sdr"])


def test_a_measure_that_fails_takes_no_other_along() -> None:
    def measures(mix, clean, made, metrics_list):
        if "pesq" in metrics_list and not made.any():
            raise RuntimeError("no utterances")
        return {name: 1.5 for metric in metrics_list for name in (metric, f"input_{metric}")}

    mix, silence = np.ones((1, 10)), np.zeros((1, 10))
    survive = _surviving(measures)
    wanted = ["pesq", "stoi"]
    assert survive(mix, mix, silence, metrics_list=wanted) == {
        "pesq": 1.0, "input_pesq": 1.5, "stoi": 1.5, "input_stoi": 1.5,
    }  # fmt: skip
    assert survive(mix, mix, mix, metrics_list=wanted) == dict.fromkeys(
        ("pesq", "stoi", "input_pesq", "input_stoi"), 1.5
    )


def test_the_seed_counts_for_emotions_and_s3prls_own_changes_nothing(tmp_path, hub) -> None:
    config = yaml.safe_load(prepare("emotion", "embedded", tmp_path / "corpus").config.read_text())
    from s3prl.downstream.emotion.expert import DownstreamExpert

    def made(seed: int) -> tuple[torch.Tensor, list[int]]:
        torch.manual_seed(seed)
        expert = DownstreamExpert(
            upstream_dim=8, downstream_expert=config["downstream_expert"], expdir=str(tmp_path)
        )
        return expert.projector.weight.detach(), list(expert.dev_dataset.indices)

    find_task("emotion").record()
    (own, dev), (other, same_dev), (again, _) = made(DEFAULT_SEED), made(7), made(7)
    assert dev == same_dev
    assert not torch.equal(own, other)
    assert torch.equal(other, again)
    untouched = DownstreamExpert.__init__.__wrapped__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DownstreamExpert, "__init__", untouched)
        assert torch.equal(made(DEFAULT_SEED)[0], own)
        assert torch.equal(made(7)[0], own)
