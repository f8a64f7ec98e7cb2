"""S3PRL's own ``run_downstream.py``, started with our upstreams, our configs and clear errors."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from ..errors import StreamingWavLMError
from . import command, heads, own_options
from .registration import HUB, register
from .tasks import TASKS

logger = logging.getLogger(__name__)
DEBUG = "--debug"


def main(argv: Sequence[str], notify: Callable[[str], object] = logger.info) -> None:
    """Run S3PRL's runner in this process.

    Args:
        argv: the arguments of ``run_downstream.py``, and perhaps those of :mod:`own_options`.
        notify: is told what was decided for the user.

    Raises:
        StreamingWavLMError: what is asked for cannot be run; S3PRL has not begun.
    """
    own, argv = own_options.take(_distributed(argv))
    if own.s3prl is not None:
        own_options.use_checkout(own.s3prl)
    if {"-h", "--help"} & set(argv):
        register()
        _hand_over(argv)
        return
    asked = command.read(argv)
    upstream = command.check(asked)
    name = asked.args.downstream
    kind = own.heads or heads.kind_of(asked.config)
    if kind == "causal" or own.heads:
        heads.use(own.heads, name, asked.config)  # refuses what does not fit before any data is read
    if asked.added:
        notify(f"added to the command: {' '.join(asked.added)}")
    for note in command.examine(asked):
        notify(note)
    if name in TASKS:
        TASKS[name].isolate()
        TASKS[name].record()
    hub = importlib.import_module(HUB)
    factory = getattr(hub, asked.args.upstream, None)
    if upstream is not None:
        # What was checked is what runs, and is not loaded twice.
        setattr(hub, asked.args.upstream, _ready(upstream, factory))
    try:
        with heads.installed(own.heads) if kind == "causal" else contextlib.nullcontext():
            _hand_over([*argv, *asked.added])
    finally:
        setattr(hub, asked.args.upstream, factory)


def _ready(upstream: object, factory: object) -> Callable[..., object]:
    """Return a factory of what is there already; the hub takes it for the one in whose place it is."""

    def ready(**_: object) -> object:
        return upstream

    ready.__module__ = getattr(factory, "__module__", __name__)
    return ready


def launch(argv: Sequence[str], *, program: str = "streaming-wavlm", debug: bool = False) -> int:
    """Run S3PRL's runner as a program: an error of ours is one line, one of S3PRL's keeps its traceback.

    Args:
        argv: the arguments of ``run_downstream.py``, and perhaps ``--debug``.
        program: the name that its own messages begin with.
        debug: show the traceback of our errors, too, as ``--debug`` does.

    Returns:
        The exit status: 0, 1 after an error of S3PRL's, 2 after one of ours.
    """

    def say(message: str) -> None:
        sys.stderr.write(f"{program}: {' '.join(message.splitlines())}\n")

    debug = debug or DEBUG in argv
    try:
        main([argument for argument in argv if argument != DEBUG], say)
    except StreamingWavLMError as error:
        if debug:
            traceback.print_exc()
        say(str(error))
        return 2
    except Exception:  # noqa: BLE001 - hours of training deserve to be told where they ended
        traceback.print_exc()
        return 1
    return 0


def _distributed(argv: Sequence[str]) -> list[str]:
    """Let ``torchrun`` start S3PRL, whose parser knows the rank only by its old name."""
    old = [
        "--local_rank" + argument.removeprefix("--local-rank")
        if argument.startswith("--local-rank")
        else argument
        for argument in argv
    ]
    if "LOCAL_RANK" in os.environ and not any(argument.startswith("--local_rank") for argument in old):
        old += ["--local_rank", os.environ["LOCAL_RANK"]]
    return old


def _hand_over(argv: Sequence[str]) -> None:
    if sys.platform == "linux" and multiprocessing.get_start_method(allow_none=True) is None:
        # Workers of S3PRL's data loaders need what is mended in this process, so they must be copies of it.
        multiprocessing.set_start_method("fork")
    # S3PRL puts an isinstance of its own in front of Python's, another one at each start.
    before, python = sys.argv, builtins.isinstance
    sys.argv = ["run_downstream.py", *argv]
    try:
        importlib.import_module("s3prl.run_downstream").main()
    finally:
        sys.argv = before
        builtins.isinstance = python
