"""From what is asked for to the files of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ... import files
from ...errors import SuperbError
from ...pictures import new_figure
from .. import run
from ..corpora import prepare
from ..experiments import is_whole
from ..tasks import TASKS, find_task
from . import curve, heat_map, table
from .ledger import FILE, Ledger
from .loop import Loop, Progress, Tools
from .plan import Request
from .summary import Summary, summarise
from .upstreams import Upstream, describe
from .versions import versions
from .wording import TaskWords

REPORT_FILE = "report.md"
CURVE_FILE, LAYERS_FILE = "latency.png", "layers.png"
_PICTURES = {CURVE_FILE: "Quality against latency", LAYERS_FILE: "Learned weights of the layers"}


@dataclass(frozen=True)
class Outcome:
    """What became of a report.

    Attributes:
        files: that were written.
        failed: what did not come to an end, in words.
    """

    files: tuple[Path, ...]
    failed: tuple[str, ...]


def real_tools() -> Tools:
    """Return what does the work outside tests."""
    return Tools(prepare, run.run_task, _layer_weights)


def _layer_weights(task: str, folder: Path) -> Any:
    """Return the weights in the checkpoint that was evaluated: the best on the dev split, else the last."""
    best = sorted(filter(is_whole, folder.glob(TASKS[task].best)))
    return run.layer_weights(best[-1] if best else folder)


def make(request: Request, progress: Progress, tools: Tools | None = None) -> Outcome:
    """Train and evaluate what is missing, and write the report.

    Args:
        request: what is asked for.
        progress: is told how far it is.
        tools: what does the work.

    Returns:
        What was written, and what failed.

    Raises:
        StreamingWavLMError: the request cannot be met at all: the checkpoint, an upstream or the folder.
    """
    _check(request)
    new_figure(1, 1)  # what is missing to draw must not be found out at the end
    words = task_words(request)
    upstreams = {name: describe(name, request.ckpt, request.model_config) for name in request.upstreams}
    with Ledger(request.out) as ledger:
        ledger.tell(
            made=_made(request), upstreams={name: found.to_json() for name, found in upstreams.items()}
        )
        loop = Loop(request, upstreams, ledger, tools or real_tools(), progress)
        loop.run(lambda: _write_table(request, summarise(loop), words, ledger.facts))
        summary = summarise(loop)
        written = [
            request.out / FILE,
            *_draw(request, summary, words, upstreams),
            _write_table(request, summary, words, ledger.facts),
        ]
    failed = [f"{task}: no corpus" for task in summary.unprepared]
    failed += [
        f"{record.task} on {record.upstream}, {record.heads} heads, seed {record.seed}"
        for record in summary.failures
    ]
    return Outcome(tuple(written), tuple(failed))


def task_words(request: Request) -> dict[str, TaskWords]:
    """Return what the report says of each task."""
    found = ((name, find_task(name)) for name in request.tasks)
    return {name: TaskWords(task.short, task.title, task.causal, task.causality) for name, task in found}


def _check(request: Request) -> None:
    for what, names in (("task", request.tasks), ("upstream", request.upstreams), ("kind", request.heads)):
        if not names:
            raise SuperbError(f"a report needs at least one {what}, and none was given")
    if request.seeds < 1:
        raise SuperbError(f"a report needs at least one seed, got {request.seeds}")
    if request.jobs < 1:
        raise SuperbError(f"a report needs at least one job at a time, got {request.jobs}")
    for rate in request.rates:
        if not 0 < rate < float("inf"):
            raise SuperbError(f"a learning rate must be a positive number, got {rate}")
    if request.features_gb < 0:
        raise SuperbError(f"the size of the cache must be 0 (no cache) or more GB, got {request.features_gb}")


def _made(request: Request) -> dict[str, Any]:
    device = request.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "command": request.command,
        "source": request.source,
        "checkpoint": request.ckpt,
        "seeds": request.seeds,
        "rates": list(request.rates),
        "heads": list(request.heads),
        "override": {key: repr(value) for key, value in request.override.items()},
        "device": device,
        "versions": versions(),
    }


def _write_table(
    request: Request, summary: Summary, words: Mapping[str, TaskWords], facts: Mapping[str, Any]
) -> Path:
    path = request.out / REPORT_FILE
    pictures = {name: what for name, what in _PICTURES.items() if (request.out / name).exists()}
    with files.replacing(path) as temporary:
        temporary.write_text(table.render(request, summary, words, facts, pictures), encoding="utf-8")
    return path


def _draw(
    request: Request, summary: Summary, words: Mapping[str, TaskWords], upstreams: Mapping[str, Upstream]
) -> list[Path]:
    ours = [upstream for upstream in upstreams.values() if upstream.ours]
    weights = f" ({Path(request.ckpt or '').name}: {ours[0].weights})" if ours else ""
    titles = {
        CURVE_FILE: (curve.draw, f"{_PICTURES[CURVE_FILE]}{weights}"),
        LAYERS_FILE: (heat_map.draw, f"{_PICTURES[LAYERS_FILE]}{weights}"),
    }
    written = []
    for name, (draw, title) in titles.items():
        path = request.out / name
        if draw(path, summary, words, title):
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written
