"""S3PRL's own training with the cache and without: the same curves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import streaming_wavlm
from streaming_wavlm.superb.report.training_log import scalars


@pytest.fixture(scope="module")
def trained(checkpoint, corpus, tmp_path_factory):
    """The curves of trainings without a cache, with an empty and a filled one, and the folder of features."""
    for name in ("s3prl", "librosa", "tensorboardX", "transformers"):
        pytest.importorskip(name)
    scratch = tmp_path_factory.mktemp("cached-training")
    features = scratch / "features"
    environment = {
        **os.environ,
        "STREAMING_WAVLM_CACHE": str(scratch / "lists"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(streaming_wavlm.__file__).parents[1]),
    }
    curves = []
    for name, more in (("without", {}), ("empty", {"STREAMING_WAVLM_FEATURES": str(features)})):
        folder = scratch / name
        command = [
            "-m", "train", "-d", "voxceleb1", "-u", "streaming_wavlm_400ms", "-k", str(checkpoint),
            "-c", str(corpus / "config.yaml"), "-p", str(folder), "--device", "cpu",
            "-o", "config.runner.log_step=1,,config.optimizer.lr=0.01",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "streaming_wavlm.superb", *command],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        curves.append(scalars(folder))
    return (*curves, features)


def test_the_losses_are_those_of_the_uncached_training(trained) -> None:
    without, cached, _ = trained
    assert without.keys() == cached.keys()
    assert len(without["voxceleb1/train-loss"]) == 4
    for name, curve in without.items():
        assert cached[name] == pytest.approx(curve, rel=1e-5, abs=1e-6), name


def test_every_recording_was_computed_once(trained) -> None:
    # Eight to train on, two to choose by, and the noise that S3PRL tries an upstream with.
    assert len(list(trained[2].glob("*/*/*.npy"))) == 8 + 2 + 1
