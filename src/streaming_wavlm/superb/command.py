"""What a command line for S3PRL's runner asks for, checked before S3PRL begins."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from ..errors import MissingDependencyError, SuperbError
from ..keys import nearest
from ..presets import UPSTREAMS
from . import compat, factories
from .experiments import load_experiment, states
from .registration import HUB, register
from .tasks import ALIASES, CONFIGS, TASKS, default_config
from .upstream import UpstreamExpert

# What S3PRL takes from the command line even when it goes on with an experiment.
_OF_THE_COMMAND = ("mode", "evaluate_split", "override", "past_exp", "device", "local_rank")


@dataclass(frozen=True)
class Experiment:
    """A run of S3PRL.

    Attributes:
        args: the options this package looks at, as S3PRL will see them.
        config: of the task and the runner.
        added: options to add to the command line.
    """

    args: argparse.Namespace
    config: dict[str, Any]
    added: tuple[str, ...]


def read(argv: Sequence[str]) -> Experiment:
    """Work out which experiment a command line means, the way S3PRL does.

    Args:
        argv: the arguments of S3PRL's ``run_downstream.py``.

    Raises:
        SuperbError: no experiment can be made of it.
    """
    args = _parser().parse_known_args(list(argv))[0]
    added: list[str] = []
    if args.downstream and args.downstream not in TASKS and args.downstream.lower() in ALIASES:
        args.downstream = ALIASES[args.downstream.lower()].name
        added += ["-d", args.downstream]
    if args.device is None and not torch.cuda.is_available():
        added += ["--device", "cpu"]
    past = args.past_exp or _resumable(args)
    if past:
        saved = load_experiment(Path(past))
        kept = {name: getattr(args, name) for name in _OF_THE_COMMAND}
        args = argparse.Namespace(**{**vars(args), **vars(saved["Args"]), **kept})
        config = saved["Config"]
        added += _where_it_is(args, Path(past))
    else:
        _require_options(args)
        if args.config is None and not _s3prl_default(args.downstream).is_file():
            args.config = str(default_config(args.downstream))
            added += ["-c", args.config]
        config = _load_config(Path(args.config or _s3prl_default(args.downstream)))
    config = _overridden(args, config)
    if args.mode == "evaluate" and args.evaluate_split is None and args.downstream in TASKS:
        added += TASKS[args.downstream].evaluate
    return Experiment(args, config, tuple(added))


def check(experiment: Experiment) -> UpstreamExpert | None:
    """Refuse what cannot run, before any data is read: the upstream first, then the task, then its data.

    Args:
        experiment: what is to be run.

    Returns:
        The upstream, if it is one of ours.

    Raises:
        StreamingWavLMError: the checkpoint, its config, the task or its data cannot be used.
    """
    args = experiment.args
    upstream = None
    if args.hub == "torch" and args.upstream in UPSTREAMS:
        upstream = factories.build(args.upstream, args.upstream_ckpt, args.upstream_model_config)
    register()
    hub = importlib.import_module(HUB)
    if args.hub == "torch" and not hasattr(hub, args.upstream):
        raise SuperbError(
            f"S3PRL has no upstream {args.upstream!r}{nearest(args.upstream, hub.options())}; "
            f"ours are {', '.join(UPSTREAMS)}"
        )
    _check_task(args.downstream)
    task = TASKS.get(args.downstream)
    missing = task.missing(experiment.config) if task else None
    if missing:
        raise SuperbError(missing)
    return upstream


def examine(experiment: Experiment) -> tuple[str, ...]:
    """Look into the corpus that is there, before S3PRL fails on it halfway through.

    Args:
        experiment: one that :func:`check` let pass.

    Returns:
        What is worth telling the user.

    Raises:
        SuperbError: the corpus cannot be trained on or evaluated.
    """
    task = TASKS.get(experiment.args.downstream)
    if task is None:
        return ()
    try:
        return task.examine(experiment.config)
    except (KeyError, TypeError, ValueError) as error:
        raise SuperbError(
            f"the config of {task.name} or the corpus it points at is not as S3PRL wants it: {error!r}; "
            f"the package's own config is {CONFIGS / task.name}.yaml"
        ) from error


def _check_task(name: str) -> None:
    if name == "ctc":
        _check_slots()
    try:
        importlib.import_module(f"s3prl.downstream.{name}.expert")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("s3prl.downstream"):
            folder = Path(importlib.import_module("s3prl.downstream").__path__[0])
            known = sorted(path.parent.name for path in folder.glob("*/expert.py"))
            raise SuperbError(
                f"S3PRL has no task {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            ) from error
        raise MissingDependencyError(
            f"the task {name} needs {error.name}, which is not installed: pip install {error.name}"
        ) from error


def _check_slots() -> None:
    """The package on PyPI has the expert of slot filling without the code that reads its corpora."""
    if importlib.util.find_spec("s3prl.downstream.ctc.corpus") is None:
        raise SuperbError(
            "the task ctc (slot filling on Audio SNIPS) needs code that S3PRL's package on PyPI lacks: get "
            "`git clone https://github.com/s3prl/s3prl` and add --s3prl FOLDER; the task speech_commands, "
            "which some tables call SF, is keyword spotting and needs no checkout"
        )


def _parser() -> argparse.ArgumentParser:
    """The options of S3PRL's parser that matter here; it alone judges the others."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for short, name in (
        ("-m", "--mode"), ("-o", "--override"), ("-e", "--past_exp"), ("-c", "--config"),
        ("-d", "--downstream"), ("-u", "--upstream"), ("-k", "--upstream_ckpt"),
        ("-g", "--upstream_model_config"), ("-n", "--expname"), ("-p", "--expdir"),
        ("-t", "--evaluate_split"),
    ):  # fmt: skip
        parser.add_argument(short, name)
    parser.add_argument("-a", "--auto_resume", action="store_true")
    parser.add_argument("--hub", default="torch")
    parser.add_argument("--device")
    parser.add_argument("--local_rank")
    return parser


def _require_options(args: argparse.Namespace) -> None:
    for option, value, why in (
        ("-d", args.downstream, "the task, such as -d voxceleb1"),
        ("-u", args.upstream, "the upstream, such as -u streaming_wavlm_400ms"),
        (
            "-n",
            args.expname or args.expdir,
            "the experiment's name; it goes to result/downstream/NAME",
        ),
    ):
        if not value:
            raise SuperbError(f"{option} is missing: {why}; -e FOLDER goes on with an experiment instead")


def _where_it_is(args: argparse.Namespace, past: Path) -> list[str]:
    """Have an experiment go on in the folder that it is in.

    S3PRL keeps the path that it was begun with, which from another working directory, or once the folder was
    moved, is another place.
    """
    folder = (past if past.is_dir() else past.parent).resolve()
    given = [] if args.override is None or args.override.lower() == "none" else [args.override]
    if Path(args.expdir).resolve() == folder or any("args.expdir" in text for text in given):
        return []
    # Two characters part the options of -o, also inside of quotes.
    path = repr(str(folder)).replace("=", r"\x3d").replace(",", r"\x2c")
    args.override = ",,".join([*given, f"args.expdir={path}"])
    return ["-o", args.override]


def _s3prl_default(task: str) -> Path:
    """Where S3PRL looks for a config itself, as in a checkout of its repository."""
    return Path("downstream") / task / "config.yaml"


def _resumable(args: argparse.Namespace) -> str | None:
    folder = args.expdir or f"result/downstream/{args.expname}"
    return folder if args.auto_resume and states(Path(folder)) else None


def _load_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SuperbError(f"the task's config {path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise SuperbError(f"the task's config {path} must be a mapping, got {type(config).__name__}")
    return config


def _overridden(args: argparse.Namespace, config: dict[str, Any]) -> dict[str, Any]:
    """Apply ``-o`` with S3PRL's own code, which will apply it again and say so then."""
    config = copy.deepcopy(config)
    if args.override is None or args.override.lower() == "none":
        return config
    compat.require("s3prl", "it runs the SUPERB tasks")
    override = importlib.import_module("s3prl.utility.helper").override
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            override(args.override, args, config)
    except Exception as error:  # it evaluates what it is given
        raise SuperbError(
            f"-o {args.override!r} cannot be applied ({error}); it takes KEY=VALUE, several joined with "
            '",,", such as -o "config.optimizer.lr=1e-2,,config.runner.total_steps=1000"'
        ) from error
    return config
