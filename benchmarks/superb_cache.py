"""How much sooner a SUPERB training ends with the cache of features, its losses being the same.

    python benchmarks/superb_cache.py --set bench:../shared/data --task SID --steps 500

Each round trains without a cache, with an empty one and with the one just filled, in rotated order as far as
that allows, each in a process of its own, start-up included. The losses are read from S3PRL's logs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path

from streaming_wavlm.bench.timing import machine
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.feature_cache import FOLDER_VARIABLE, SIZE_VARIABLE
from streaming_wavlm.superb.report.training_log import scalars
from streaming_wavlm.superb.run import run_task
from streaming_wavlm.superb.tasks import find_task

ORDERS = (("without", "empty", "filled"), ("empty", "filled", "without"), ("empty", "without", "filled"))


def train(kind: str, features: Path, folder: Path, options: dict) -> tuple[float, dict]:
    """Train once, and return the seconds and every curve of the training."""
    if kind == "empty":
        shutil.rmtree(features, ignore_errors=True)
    for name in (FOLDER_VARIABLE, SIZE_VARIABLE):
        os.environ.pop(name, None)
    if kind != "without":
        os.environ |= {FOLDER_VARIABLE: str(features), SIZE_VARIABLE: "50"}
    shutil.rmtree(folder, ignore_errors=True)
    done = run_task(folder=folder, **options)
    curves = {name: curve for name, curve in scalars(folder).items() if "train" in name}
    return done.train_seconds, curves


def difference(ours: dict, theirs: dict) -> float:
    """Return the largest relative difference between two trainings' curves."""
    if not ours or ours.keys() != theirs.keys():
        raise SystemExit(f"the trainings logged {sorted(ours)} and {sorted(theirs)}")
    return max(
        abs(value - theirs[name][step]) / max(abs(theirs[name][step]), 1e-6)
        for name, curve in ours.items()
        for step, value in curve.items()
    )


def main() -> None:
    """Measure, and print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", default="voxceleb1")
    parser.add_argument("--upstream", default="streaming_wavlm_400ms")
    parser.add_argument("-k", "--checkpoint", default="mini")
    parser.add_argument("--set", dest="source", default="embedded")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    task = find_task(arguments.task).name
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        corpus = prepare(task, arguments.source, Path(scratch) / "corpus")
        runner = "config.runner"
        options = {
            "task": task,
            "upstream": arguments.upstream,
            "ckpt": arguments.checkpoint,
            "config": corpus.config,
            "device": arguments.device,
            "threads": arguments.threads,
            "seed": 1337,
            "override": {
                f"{runner}.total_steps": arguments.steps,
                f"{runner}.log_step": max(arguments.steps // 20, 1),
                f"{runner}.eval_step": arguments.steps,
                f"{runner}.save_step": arguments.steps,
            },
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in ORDERS[0]}
        worst = 0.0
        for number in range(arguments.rounds):
            curves = {}
            for kind in ORDERS[number % len(ORDERS)]:
                took, curves[kind] = train(kind, Path(scratch, "features"), Path(scratch, "run"), options)
                seconds[kind].append(took)
                print(f"round {number + 1}: {kind} {took:.1f} s", flush=True)
            worst = max(worst, *(difference(curves[kind], curves["without"]) for kind in ("empty", "filled")))
            if difference(curves["filled"], curves["empty"]) != 0:
                raise SystemExit("a training with a filled cache differs from one with an empty cache")
    if worst > arguments.tolerance:
        raise SystemExit(f"with and without the cache, losses differ by {worst:.2g} (relative)")
    usual = statistics.median(seconds["without"])
    rows = {
        kind: {
            "median_s": round(statistics.median(values), 1),
            "all_s": [round(value, 1) for value in values],
            "times_faster": round(usual / statistics.median(values), 2),
        }
        for kind, values in seconds.items()
    }
    print(
        json.dumps(
            {"task": task, "steps": arguments.steps, "largest_difference": worst, "cache": rows}, indent=1
        )
    )


if __name__ == "__main__":
    main()
