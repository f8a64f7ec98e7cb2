"""Heads for a run of S3PRL's own ``run_downstream.py``."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import registration
from .choice import Kind, kind_of, use
from .moments import check_seconds, heard, write_heard


@contextlib.contextmanager
def installed(kind: Kind | None = None, *, seconds: Sequence[float] = ()) -> Iterator[None]:
    """Have S3PRL's runner use these heads until the end of the block.

    The config goes through ``use`` once S3PRL has read and overridden it; a checkpoint without a mark has
    published heads.

    Args:
        kind: of heads; None for the experiment's own, published ones for a new experiment.
        seconds: moments at which ``-m evaluate`` also judges, for tasks that decide once per utterance; what
            comes of it goes into ``heard-SPLIT.tsv`` in the experiment's folder.

    Raises:
        SuperbError: in the block, when the heads cannot be had; see ``use`` and ``heard``.
    """
    check_seconds(seconds)
    registration.register()
    program: Any = importlib.import_module("s3prl.run_downstream")
    read, runner = program.get_downstream_args, program.Runner

    def read_with_heads() -> tuple[Any, dict[str, Any], Any]:
        args, config, backup = read()
        if args.past_exp and kind_of(config) is None:
            config = use("published", args.downstream, config)
        return args, use(kind, args.downstream, config), backup

    program.get_downstream_args, program.Runner = read_with_heads, _judging(runner, seconds)
    try:
        yield
    finally:
        program.get_downstream_args, program.Runner = read, runner


def _judging(runner: Any, seconds: Sequence[float]) -> Any:
    """The runner, which also judges after some seconds when the command asks it to evaluate."""

    def evaluate(self: Any, split: Any = None, logger: Any = None, global_step: int = 0) -> Any:
        result = runner.evaluate(self, split, logger, global_step)
        if seconds and split is None:
            table = Path(self.args.expdir) / f"heard-{self.args.evaluate_split}.tsv"
            write_heard(table, heard(self, self.args.evaluate_split, seconds))
        return result

    return type("Runner", (runner,), {"evaluate": evaluate})
