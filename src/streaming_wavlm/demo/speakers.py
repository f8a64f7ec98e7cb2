"""Speaker identification on the embedded speech: streaming features beside S3PRL's filterbanks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TASK = "voxceleb1"
STREAMING = "streaming_wavlm_400ms"
# SUPERB's baseline is the first. It is normalised to zero mean over every recording, which the head's linear
# layer and mean over time turn into the same nothing for every speaker: hence the second, without that.
BASELINES = ("fbank", "fbank_no_cmvn")


@dataclass(frozen=True)
class Score:
    """What a linear head made of an upstream's features.

    Attributes:
        upstream: where the features came from.
        accuracy: on recordings of prompts that training never had.
        chance: the accuracy of guessing.
        seconds: time that training and evaluation took.
    """

    upstream: str
    accuracy: float
    chance: float
    seconds: float


def identify_speakers(folder: Path, checkpoint: str, steps: int) -> Iterator[Score]:
    """Train and evaluate S3PRL's speaker identification on streaming features, then on its filterbanks.

    Each is run as ``run_downstream.py -d voxceleb1`` runs it. What an earlier demo left in the folder is
    replaced.

    Args:
        folder: for the corpus and the experiments.
        checkpoint: what ``-k`` takes.
        steps: training steps.

    Raises:
        StreamingWavLMError: S3PRL is not installed, or a run failed.
    """
    from ..superb.prepare import prepare_voxceleb1
    from ..superb.run import run_task

    corpus = prepare_voxceleb1(folder / "corpus")
    for upstream in (STREAMING, *BASELINES):
        experiment = folder / upstream
        shutil.rmtree(experiment, ignore_errors=True)
        result = run_task(
            TASK,
            upstream,
            config=corpus.config,
            folder=experiment,
            ckpt=checkpoint if upstream == STREAMING else None,
            override={f"config.runner.{key}": steps for key in ("total_steps", "eval_step", "save_step")},
            device="cpu",
        )
        seconds = result.train_seconds + result.evaluate_seconds
        yield Score(upstream, result.score, corpus.chance or 0.0, seconds)
