"""``streaming-wavlm superb report``: the benchmark on several upstreams, as a table and two pictures."""

from __future__ import annotations

import argparse
import ast
import shlex
import sys
from pathlib import Path
from typing import Any

from ..presets import UPSTREAMS
from .options import CHECKPOINT_HELP, new_parser
from .progress import Bar

_EPILOG = """\
Trains and evaluates what is missing in --out, then writes results.json, report.md, latency.png and
layers.png. Started again after it was stopped, it goes on; what failed is tried again. The exit status is 1
if something failed.

examples:
  streaming-wavlm superb report -k mini --set embedded --tasks SID --upstreams fbank,streaming_wavlm_400ms
  streaming-wavlm superb report -k mini --set bench:../shared/data --seeds 3 --heads both --out superb-out
"""


def add_parser(actions: Any) -> None:
    """Add the action to those of ``streaming-wavlm superb``."""
    parser = new_parser(actions, "report", "score upstreams on SUPERB's tasks", _EPILOG)
    parser.add_argument(
        "--tasks", default="all", metavar="NAMES", help="names with commas between, or all (default)"
    )
    parser.add_argument(
        "--upstreams",
        default=",".join(("fbank", *UPSTREAMS)),
        metavar="NAMES",
        help="names with commas between, ours or S3PRL's (default: fbank and ours)",
    )
    parser.add_argument("-k", "--checkpoint", metavar="CKPT", help=f"{CHECKPOINT_HELP}; for our upstreams")
    parser.add_argument(
        "-g", "--config", metavar="FILE", help="YAML or JSON with config fields that the checkpoint lacks"
    )
    parser.add_argument(
        "--set",
        dest="source",
        default="embedded",
        metavar="SET",
        help="embedded (default), bench:DIR, or what else `superb prepare --from` takes",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("superb-out"), metavar="DIR", help="default: superb-out"
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each (default: 1)")
    parser.add_argument(
        "--search-lr",
        nargs="?",
        const="",
        metavar="RATES",
        help="choose the learning rate on the dev split; RATES with commas between (default: 1e-1 … 1e-5)",
    )
    parser.add_argument(
        "--heads",
        choices=("published", "causal", "both"),
        default="published",
        help="S3PRL's heads (default), the same made causal, or columns for each",
    )
    parser.add_argument(
        "--features-gb",
        type=float,
        default=20.0,
        metavar="N",
        help="disk space for features that are computed once; 0 computes them every time (default: 20)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings side by side (default: 1)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each (default: the cores ÷ N)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: cuda where there is one, else cpu)")
    parser.add_argument(
        "-o",
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value in every task's config, such as config.runner.total_steps=100; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the report."""
    from ..superb.report import RATES, Request, make
    from ..superb.tasks import TASKS, find_task

    names = (
        list(TASKS)
        if arguments.tasks == "all"
        else [find_task(name).name for name in _split(arguments.tasks)]
    )
    heads: Any = ("published", "causal") if arguments.heads == "both" else (arguments.heads,)
    request = Request(
        tasks=tuple(dict.fromkeys(names)),
        upstreams=tuple(dict.fromkeys(_split(arguments.upstreams))),
        source=arguments.source,
        out=arguments.out,
        ckpt=arguments.checkpoint,
        model_config=arguments.config,
        seeds=arguments.seeds,
        rates=_rates(arguments.search_lr, RATES),
        heads=heads,
        override=_override(arguments.override),
        features_gb=arguments.features_gb,
        threads=arguments.threads,
        jobs=arguments.jobs,
        device=arguments.device,
        command=command_line(arguments),
    )
    with Display() as display:
        outcome = make(request, display)
    print("wrote " + ", ".join(map(str, outcome.files)))
    if outcome.failed:
        print(f"{len(outcome.failed)} failed (the reasons are in the report): " + "; ".join(outcome.failed))
    return 1 if outcome.failed else 0


def command_line(arguments: argparse.Namespace) -> str:
    """Return the command that asks for the same again."""
    words = ["streaming-wavlm", "superb", "report", "--tasks", arguments.tasks]
    words += ["--upstreams", arguments.upstreams]
    words += ["-k", arguments.checkpoint] if arguments.checkpoint else []
    words += ["-g", arguments.config] if arguments.config else []
    words += ["--set", arguments.source, "--out", str(arguments.out), "--seeds", str(arguments.seeds)]
    words += ["--heads", arguments.heads]
    if arguments.search_lr is not None:
        words += ["--search-lr", *([arguments.search_lr] if arguments.search_lr else [])]
    words += ["--features-gb", f"{arguments.features_gb:g}"] if arguments.features_gb != 20 else []
    words += ["--jobs", str(arguments.jobs)] if arguments.jobs != 1 else []
    words += ["--threads", str(arguments.threads)] if arguments.threads else []
    words += ["--device", arguments.device] if arguments.device else []
    for override in arguments.override:
        words += ["-o", override]
    return shlex.join(words)


class Display(Bar):
    """How far the report is, on standard error: a bar where somebody watches, else a line for each job."""

    def __init__(self) -> None:
        super().__init__("superb report", elapsed=True)  # how long it will be is in its note
        self._last = ""

    def _plain(self, done: int, total: int, note: str) -> None:
        line = f"{done} of {total}{f': {note}' if note else ''}"
        if line != self._last:
            self._last = line
            sys.stderr.write(f"superb report: {line}\n")

    def say(self, message: str) -> None:
        """Show a message that stays."""
        if self._rich is not None:
            self._rich.console.print(message, markup=False, highlight=False)
        else:
            sys.stderr.write(f"superb report: {message}\n")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _rates(given: str | None, usual: tuple[float, ...]) -> tuple[float, ...]:
    from ..errors import SuperbError

    if given is None:
        return ()
    try:
        return tuple(dict.fromkeys(float(rate) for rate in _split(given))) or usual
    except ValueError as error:
        raise SuperbError(
            f"--search-lr takes numbers with commas between, such as 1e-2,1e-3, got {given!r}"
        ) from error


def _override(given: list[str]) -> dict[str, Any]:
    from ..errors import SuperbError

    found: dict[str, Any] = {}
    for item in (part for words in given for part in words.split(",,")):
        key, sign, value = item.partition("=")
        if not (key.strip().startswith("config.") and sign):
            raise SuperbError(
                "-o takes KEY=VALUE with a key that begins with config., such as "
                f"config.runner.total_steps=100, got {item!r}"
            )
        try:
            found[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[key.strip()] = value.strip()
    return found
