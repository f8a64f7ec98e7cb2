"""The standard set: every section, in one order, its tables told as they are made."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from . import accuracy, ageing, cold, profile, resident, steps, streams, tables
from .crew import Crew, Model, Settings
from .targets import judge
from .timing import load_average, processor

SECTIONS = ("memory", "steps", "profile", "accuracy", "streams", "ageing", "cold")
_OF_A_CREW: dict[str, Callable[[Crew], dict[str, Any]]] = {
    # The memory first: a process that has stepped 32 streams keeps some of what they took.
    "memory": resident.measure,
    "steps": steps.measure,
    "profile": profile.measure,
    "accuracy": accuracy.measure,
    "streams": streams.measure,  # ends its processes one by one
}
_LIBRARIES = ("torch", "numpy", "transformers", "openvino", "onnxruntime")


def run(
    models: Sequence[str],
    sections: Sequence[str],
    *,
    rounds: int,
    threads: int | None,
    say: Callable[[str], None],
    show: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
    engines: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure.

    Args:
        models: ``"mini"``, ``"large"`` or both.
        sections: of :data:`SECTIONS`.
        rounds: turns of every candidate.
        threads: of every process; the library's own choice when None.
        say: told what is being done.
        show: told the tables, in Markdown, as they are made.
        keep: told the results so far, after every section: what an interruption must not lose.
        engines: those to measure beside the eager one; all when None.

    Returns:
        The results, JSON-ready: ``about`` the machine, by section and model what was measured, all
        ``checks``, and the ``targets``.

    Raises:
        BenchError: a process failed.
        StreamingWavLMError: a model cannot be had.
    """
    results: dict[str, Any] = {"about": about(models, rounds, threads), "checks": [], "skipped": {}}
    show(tables.heading(results["about"]))
    with tempfile.TemporaryDirectory(prefix="streaming-wavlm-bench-") as folder:
        settings = Settings(rounds, threads, Path(folder), say, None if engines is None else tuple(engines))
        for section, model, found in _measured(models, sections, settings, results):
            results["checks"] += found.pop("checks", [])
            if model is None:
                results[section] = found
            else:
                results.setdefault(section, {})[model] = found
            show(tables.section(section, model, found))
            keep(results)
    results["targets"] = judge(results)
    results["about"]["ended"] = _now()
    results["about"]["load_after"] = load_average()
    show(tables.closing(results))
    keep(results)
    return results


def about(models: Sequence[str], rounds: int, threads: int | None) -> dict[str, Any]:
    """Return what a reader must know of the run: machine, versions, when, and how it was measured."""
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "waiting": os.environ.get("OMP_WAIT_POLICY", "torch's default"),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": versions,
        "models": list(models),
        "rounds": rounds,
        "seeds": "0 (weights of large), speech of the package",
        "began": _now(),
        "load_before": load_average(),
    }


def _measured(
    models: Sequence[str], sections: Sequence[str], settings: Settings, results: dict[str, Any]
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    of_a_crew = [section for section in _OF_A_CREW if section in sections]
    for name in models:
        settings.say(f"{name}: getting the weights")
        model = Model.named(name, settings)
        if of_a_crew:
            with Crew(model, settings) as crew:
                for section in of_a_crew:
                    yield section, name, _OF_A_CREW[section](crew)
                results["skipped"].update({f"{name}, {what}": why for what, why in crew.skipped.items()})
                results["checks"] += crew.failures
        if "ageing" in sections:
            yield "ageing", name, ageing.measure(model, settings)
    if "cold" in sections:
        found = cold.measure(settings)
        results["skipped"].update({f"cold start, {what}": why for what, why in found.pop("skipped").items()})
        yield "cold", None, found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
