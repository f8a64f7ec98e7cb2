"""A SUPERB task from Python: train, evaluate, and get the score."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SuperbError
from .tasks import TASKS

_TAIL = 15


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Attributes:
        task: S3PRL's name of it.
        upstream: what the features came from.
        score: on the test split.
        metric: what the score is called.
        train_seconds: time that training took, start-up included.
        evaluate_seconds: time that the evaluation took, start-up included.
        folder: of the experiment: checkpoints, predictions and the two logs.
    """

    task: str
    upstream: str
    score: float
    metric: str
    train_seconds: float
    evaluate_seconds: float
    folder: Path


def run_task(
    task: str,
    upstream: str,
    *,
    config: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    ckpt: str | os.PathLike[str] | None = None,
    model_config: str | os.PathLike[str] | None = None,
    override: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> TaskResult:
    """Train a task's head on an upstream and evaluate it, each in a process of its own, as the command does.

    Args:
        task: S3PRL's name, such as ``voxceleb1``.
        upstream: ours, such as ``streaming_wavlm_400ms``, or one of S3PRL's, such as ``fbank``.
        config: of the experiment (``-c``).
        folder: for the experiment (``-p``).
        ckpt: the upstream's checkpoint (``-k``).
        model_config: the upstream's architecture (``-g``).
        override: config values to change (``-o``), such as ``{"config.runner.total_steps": 100}``.
        device: where to compute; CUDA if there is one, when None.

    Returns:
        The test score, and what it took.

    Raises:
        SuperbError: the task has no score here, or a process failed; the message ends with what it said last.
    """
    if task not in TASKS:
        raise SuperbError(f"no score is read from the task {task!r} here; there are {', '.join(TASKS)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    train = ["-m", "train", "-d", task, "-u", upstream, "-c", str(config), "-p", str(folder)]
    train += ["-k", str(ckpt)] if ckpt is not None else []
    train += ["-g", str(model_config)] if model_config is not None else []
    if override:
        train += ["-o", ",,".join(f"{key}={value!r}" for key, value in override.items())]
    on = ["--device", device] if device else []
    train_seconds = _run([*train, *on], folder / "train.log")
    for stale in folder.glob("test_*.txt"):
        stale.unlink()
    evaluate_seconds = _run(["-m", "evaluate", "-e", str(folder), *on], folder / "evaluate.log")
    known = TASKS[task]
    return TaskResult(
        task, upstream, known.score(folder), known.metric, train_seconds, evaluate_seconds, folder
    )


def _run(arguments: list[str], log: Path) -> float:
    """Run the launcher, with its output in a file, and return the seconds it took."""
    # The child must find the same package, however this process came to find it.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    begin = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", __package__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            check=False,
        )
    if done.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise SuperbError(
            f"`streaming-wavlm superb run {' '.join(arguments)}` failed with status {done.returncode}; "
            f"all it said is in {log}, at the end:\n" + "\n".join(said)
        )
    return time.perf_counter() - begin
