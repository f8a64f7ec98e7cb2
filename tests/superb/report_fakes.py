"""A benchmark that takes no time: corpora of one file, and trainings whose outcome is known beforehand."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import Prepared
from streaming_wavlm.superb.report import Request
from streaming_wavlm.superb.report.loop import Tools
from streaming_wavlm.superb.run import TaskResult
from streaming_wavlm.superb.scores import Score
from streaming_wavlm.superb.tasks import TASKS

LAYERS = 4
STREAMING = ("streaming_wavlm_200ms", "streaming_wavlm_400ms", "streaming_wavlm_offline")


def mean(units: np.ndarray) -> float:
    return float(units[:, 0].mean())


def values_of(task: str, upstream: str, options: Mapping[str, Any]) -> list[float]:
    """The score of each metric: better with larger chunks, for fbank worst, and seeds differ by one."""
    rank = 1 + (*STREAMING, "fbank").index(upstream) if upstream in STREAMING else 0
    seed = options["seed"] - 1337
    causal = 4 if options["heads"] == "causal" else 0
    return [
        50 + (1 if metric.higher_is_better else -1) * (5 * rank + seed - causal + 0.5 * index)
        for index, metric in enumerate(TASKS[task].metrics)
    ]


@dataclass
class Fake:
    """What stands in for the work.

    Attributes:
        calls: task, upstream and options of each training.
        trouble: is called before each training, and may raise.
        no_corpus: tasks that cannot be prepared.
        dev: the dev score for a learning rate; none is logged when None.
        config: the text of each task's config.
    """

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    trouble: Callable[[str, str, dict[str, Any]], None] = lambda task, upstream, options: None
    no_corpus: tuple[str, ...] = ()
    dev: Callable[[float], float] | None = None
    config: str = "runner: {}\n"
    values: Callable[[str, str, Mapping[str, Any]], list[float]] = values_of

    def tools(self) -> Tools:
        return Tools(self.prepare, self.run_task, self.layer_weights)

    def prepare(self, task: str, source: str, out: Path) -> Prepared:
        if task in self.no_corpus:
            raise SuperbError(f"there is no corpus of {task} at {source}; get it from its authors")
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(f"place: {out.resolve()}\n{self.config}")
        return Prepared(
            out,
            {"train": 80, "dev": 10, "test": 20},
            {"too short": 2, "corrupt": 0},
            0.25 if task == "voxceleb1" else None,
            notes=("Speakers are simulated",),
        )

    def run_task(self, task: str, upstream: str, **options: Any) -> TaskResult:
        self.calls.append((task, upstream, options))
        self.trouble(task, upstream, options)
        folder = options["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        rate = (options["override"] or {}).get("config.optimizer.lr")
        if self.dev is not None and rate is not None:
            writer = SummaryWriter(str(folder))
            writer.add_scalar(f"{task}/dev-acc", self.dev(rate) / 2, global_step=1)
            writer.add_scalar(f"{task}/dev-acc", self.dev(rate), global_step=2)
            writer.add_scalar(f"{task}/test-acc", 1 - self.dev(rate), global_step=2)
            writer.close()
        scores = []
        for metric, value in zip(TASKS[task].metrics, self.values(task, upstream, options), strict=True):
            noise = np.random.default_rng(zlib.crc32(f"{task}{upstream}".encode())).standard_normal(40)
            units = value + 10 * (noise - noise.mean())[:, None]
            scores.append(Score.of(metric, units, mean))
        return TaskResult(task, upstream, tuple(scores), 60.0, 30.0, folder)

    def layer_weights(self, task: str, folder: Path) -> np.ndarray:
        if "fbank" in folder.name:
            raise SuperbError("the upstream has one layer")
        weights = np.arange(1.0, LAYERS + 1)
        return weights / weights.sum()


@dataclass
class Told:
    """Keeps what it is told."""

    updates: list[tuple[int, int, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def update(self, done: int, total: int, note: str = "") -> None:
        self.updates.append((done, total, note))

    def say(self, message: str) -> None:
        self.said.append(message)


def request(out: Path, checkpoint: Path, **changes: Any) -> Request:
    usual: dict[str, Any] = {
        "tasks": ("voxceleb1", "asr"),
        "upstreams": STREAMING[:2],
        "source": "embedded",
        "out": out,
        "ckpt": str(checkpoint),
        "command": "streaming-wavlm superb report",
    }
    return Request(**{**usual, **changes})
