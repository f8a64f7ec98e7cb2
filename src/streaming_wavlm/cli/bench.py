"""``streaming-wavlm bench``: what a step costs on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .options import new_parser

_MODELS = ("mini", "large")
_WAITING = ("default", "active", "passive")
_SECTIONS = ("memory", "steps", "profile", "accuracy", "streams", "ageing", "cold")
_EPILOG = """\
Every engine and precision runs in a process of its own, and they take turns: medians and quartiles of one
run. mini is the embedded checkpoint; large is the full size, with random weights, and takes some 10 GB for
all of its processes. The exit status is 1 if a result is not equal to the eager one within its
precision's bounds; a target that is missed is only shown.

examples:
  streaming-wavlm bench                                    all of it, a quarter of an hour on two cores
  streaming-wavlm bench --models mini --only steps
  streaming-wavlm bench --json bench.json --out bench.md
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "bench", "measure every engine and precision on this machine", _EPILOG)
    parser.add_argument(
        "--models", nargs="+", choices=_MODELS, default=list(_MODELS), help="default: mini and large"
    )
    parser.add_argument(
        "--only", nargs="+", choices=_SECTIONS, default=list(_SECTIONS), metavar="SECTION",
        help=f"of {', '.join(_SECTIONS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--engines",
        nargs="+",
        metavar="ENGINE",
        help="to measure beside the eager one (default: all that run here)",
    )
    parser.add_argument(
        "--rounds", type=_positive, default=6, metavar="N", help="turns of every candidate (default: 6)"
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of every process (default: torch's own choice)"
    )
    parser.add_argument(
        "--wait", choices=_WAITING, default="default",
        help="what threads do that wait for others: torch's default, spin (active) or sleep (passive, which "
        "the other commands set: slower alone, faster on a busy machine)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here, too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables here, too")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if results were not equal."""
    from ..bench.standard import run as run_standard

    # Of the processes that are measured; a program that only imports the package has torch's default.
    os.environ.pop("OMP_WAIT_POLICY", None)
    if arguments.wait != "default":
        os.environ["OMP_WAIT_POLICY"] = arguments.wait.upper()
    told: list[str] = []
    began = time.monotonic()

    def show(text: str) -> None:
        print(text, flush=True)
        told.append(text)
        if arguments.out is not None:
            _write(arguments.out, "\n".join(told))

    def keep(results: dict[str, Any]) -> None:
        if arguments.json is not None:
            _write(arguments.json, json.dumps(results, indent=1) + "\n")

    results = run_standard(
        arguments.models,
        arguments.only,
        rounds=arguments.rounds,
        threads=arguments.threads,
        say=lambda text: print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True),
        show=show,
        keep=keep,
        engines=arguments.engines,
    )
    return 0 if all(check["holds"] for check in results["checks"]) else 1


def _write(path: Path, text: str) -> None:
    from ..errors import OutputError
    from ..files import replacing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}") from error


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
