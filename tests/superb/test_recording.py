"""Measures that fail: on the clip, which is nobody's fault, or on what a head made of it, which is."""

from __future__ import annotations

import numpy as np
import pytest

from streaming_wavlm.superb.tasks.recording import WORST, _surviving

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
