"""A SUPERB task from Python: train, evaluate, and get the scores."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ..errors import SuperbError
from ..files import replacing
from .digests import checkpoint_digest, config_digest, corpus_digest
from .experiments import is_whole, layer_weights, states
from .orphans import PARENT_VARIABLE
from .scores import Score
from .tasks import TASKS, Task

__all__ = ["TaskResult", "layer_weights", "run_task"]

_TAIL = 15
_LOOK_SECONDS, _LAST_SECONDS = 0.2, 10.0
_RECORD = "run.json"


@dataclass(frozen=True)
class TaskResult:
    """What came of a task.

    Attributes:
        task: S3PRL's name of it.
        upstream: what the features came from.
        scores: on the test split, the most important first.
        train_seconds: time that training took, start-up included, over all attempts that ended well.
        evaluate_seconds: time that the evaluation took, start-up included.
        folder: of the experiment: checkpoints, predictions and the two logs.
    """

    task: str
    upstream: str
    scores: tuple[Score, ...]
    train_seconds: float
    evaluate_seconds: float
    folder: Path

    @property
    def score(self) -> float:
        """The most important score as a bare number: 0.75 where the metric says 75 %."""
        return self.scores[0].bare

    @property
    def metric(self) -> str:
        """What the most important score is called."""
        return self.scores[0].metric.name


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
    heads: Literal["published", "causal"] = "published",
    seed: int | None = None,
    threads: int | None = None,
    stop: threading.Event | None = None,
) -> TaskResult:
    """Train a task's head on an upstream and evaluate it, each in a process of its own, as the command does.

    What was trained to the end in the folder is only evaluated; what was begun there goes on from its last
    checkpoint. The evaluation takes the checkpoint that was best on the dev split, else the last.

    Args:
        task: S3PRL's name, such as ``voxceleb1``.
        upstream: ours, such as ``streaming_wavlm_400ms``, or one of S3PRL's, such as ``fbank``.
        config: of the experiment (``-c``).
        folder: for the experiment (``-p``).
        ckpt: the upstream's checkpoint (``-k``).
        model_config: the upstream's architecture (``-g``).
        override: config values to change (``-o``), such as ``{"config.runner.total_steps": 100}``.
        device: where to compute; CUDA if there is one, when None.
        heads: as SUPERB publishes them, or such that no frame hears what comes after it.
        seed: of the head's weights and the order of the data; S3PRL's own when None.
        threads: to compute with on the CPU; as many as there are cores when None.
        stop: for a caller in a thread, which no signal reaches: ends the processes once it is set.

    Returns:
        The test scores, and what they took.

    Raises:
        SuperbError: the task has no score here, the folder holds another experiment, or a process failed or
            was ended by ``stop``; the message ends with what it said last.
    """
    if task not in TASKS:
        raise SuperbError(f"no score is read from the task {task!r} here; there are {', '.join(TASKS)}")
    known, folder = TASKS[task], Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train = ["-m", "train", "-d", task, "-u", upstream, "-c", str(config), "-p", str(folder)]
    train += ["-k", str(ckpt)] if ckpt is not None else []
    train += ["-g", str(model_config)] if model_config is not None else []
    if override:
        train += ["-o", ",,".join(f"{key}={value!r}" for key, value in override.items())]
    train += ["--heads", heads] if heads != "published" else []
    train += ["--seed", str(seed)] if seed is not None else []
    on = ["--device", device] if device else []
    identity = {
        "task": task,
        "upstream": upstream,
        "config": _said(config),
        "corpus": corpus_digest(Path(config)),
        "ckpt": None if ckpt is None else checkpoint_digest(ckpt),
        "model_config": _said(model_config),
        "override": {key: repr(value) for key, value in (override or {}).items()},
        "heads": heads,
        "seed": seed,
    }
    record = _begun(folder, identity)
    if not record["trained"]:
        resume = ["-a"] if _ready_to_go_on(folder, known) else []
        record["train_seconds"] += _run([*train, *resume, *on], folder / "train.log", threads, stop)
        record["trained"] = True
        _write(folder, record)
    for stale in (path for pattern in known.outputs for path in folder.glob(pattern)):
        stale.unlink()
    best = sorted(filter(is_whole, folder.glob(known.best)))
    evaluate = ["-m", "evaluate", "-e", str(best[-1] if best else folder), *known.evaluate, *on]
    evaluate_seconds = _run(evaluate, folder / "evaluate.log", threads, stop)
    return TaskResult(task, upstream, known.scores(folder), record["train_seconds"], evaluate_seconds, folder)


def _begun(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return what is recorded of the folder's experiment, which is this one if there was none."""
    path = folder / _RECORD
    if path.is_file():
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            different = [key for key, value in identity.items() if record["identity"].get(key) != value]
            if not different:
                return record
        except (ValueError, KeyError, AttributeError) as error:
            raise SuperbError(f"{path} is damaged ({error}); delete {folder} to begin anew") from error
        raise SuperbError(
            f"{folder} holds an experiment with another {', '.join(different)}; "
            "give another folder, or delete this one to begin anew"
        )
    if states(folder):
        raise SuperbError(
            f"{folder} holds checkpoints of an experiment that was not begun here; "
            "give another folder, or delete this one to begin anew"
        )
    record = {"identity": identity, "trained": False, "train_seconds": 0.0}
    _write(folder, record)
    return record


def _write(folder: Path, record: dict[str, Any]) -> None:
    with replacing(folder / _RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _ready_to_go_on(folder: Path, task: Task) -> bool:
    """Tell whether there is a checkpoint to go on from, once those that were cut short are out of the way."""
    for path in folder.glob("*.ckpt"):
        if not is_whole(path):
            path.unlink()
    if states(folder):
        return True
    for path in folder.glob(task.best):
        path.unlink()
    return False


def _said(config: str | os.PathLike[str] | None) -> str | None:
    if config is None:
        return None
    try:
        return config_digest(Path(config))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return str(config)  # whoever reads it next says what is wrong


def _run(
    arguments: list[str], log: Path, threads: int | None = None, stop: threading.Event | None = None
) -> float:
    """Run the launcher, with its output in a file, and return the seconds it took."""
    # The child must find the same package, however this process came to find it.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    limits = {} if threads is None else {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    known = {"PYTHONPATH": os.pathsep.join(path), PARENT_VARIABLE: str(os.getpid())}
    begin = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", __package__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **limits, **known},
            # A terminal's Ctrl-C is for whoever holds ``stop``.
            process_group=None if stop is None else 0,
        )
        status = _ended(process, stop)
    if status:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        raise SuperbError(
            f"`streaming-wavlm superb run {' '.join(arguments)}` failed with status {status}; "
            f"all it said is in {log}, at the end:\n" + "\n".join(said)
        )
    return time.perf_counter() - begin


def _ended(process: subprocess.Popen[bytes], stop: threading.Event | None) -> int:
    """Wait for a process and return its status; if the wait is broken off, it ends first."""
    try:
        if stop is None:
            return process.wait()
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    os.killpg(process.pid, signal.SIGTERM)  # it leads a group, with its workers
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        return process.wait(_LAST_SECONDS)
                    return -signal.SIGKILL
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
