"""``streaming-wavlm distill``: make a streaming student of offline teachers."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .options import new_parser

_EPILOG = """\
A recipe is a YAML file, or the name of one that comes with the package; key=value words go over it. The same
command goes on where it was stopped, however that was. Several processes and machines: torchrun, or
runtime.devices=N.

examples:
  streaming-wavlm distill --config mini --dry-run
  streaming-wavlm distill --config mini out=runs/mini data.root=../data
  streaming-wavlm distill --config recipe.yaml steps=200000 optimiser.lr=1e-4 stages.encoder.seed=1
  torchrun --nproc-per-node 8 --no-python streaming-wavlm distill --config wavlm-large-12 accumulate=1
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "distill", "make a streaming student of offline teachers", _EPILOG)
    parser.add_argument(
        "--config", required=True, metavar="RECIPE", help="a YAML file or a shipped recipe's name"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="over what the recipe says")
    parser.add_argument("--dry-run", action="store_true", help="print what it would do and cost, and stop")
    parser.add_argument("--print-recipe", action="store_true", help="print the recipe in full, and stop")
    parser.add_argument("--no-progress", action="store_true", help="show no progress")


def run(arguments: argparse.Namespace) -> int:
    """Read the recipe and do what it says."""
    from ..distill.recipe import load_recipe

    stages = load_recipe(arguments.config, arguments.overrides)
    if arguments.print_recipe:
        from ..experiment import to_yaml

        print("---\n".join(to_yaml(stage) for stage in stages), end="")
        return 0
    if arguments.dry_run:
        from ..distill.plan import plan_stages

        text = plan_stages(stages)
        if _first_process():
            print(text)
        return 0
    from ..distill.trainer import distill

    folder = distill(stages, progress=not arguments.no_progress)
    if _first_process():
        print(f"the student is in {folder}")
    return 0


def _first_process() -> bool:
    """Return whether this process speaks for all that run the recipe, once they have been started."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
