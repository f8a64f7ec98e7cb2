"""``streaming-wavlm convert``: an offline WavLM becomes a streaming one's beginning."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, ConfigError
from .options import new_parser

if TYPE_CHECKING:
    from ..model import StreamingWavLM

_EPILOG = """\
examples:
  streaming-wavlm convert wavlm-large/ student/                      its first 12 layers, made causal
  streaming-wavlm convert microsoft/wavlm-large student/ --num-layers 6
  streaming-wavlm convert WavLM-Large.pt student.pt                  a .pt, with its config in student.yaml
  streaming-wavlm convert WavLM-Large.pt reference/ --bidirectional  the same function, in our classes

A student that was only converted is where distillation starts: its features are not yet good.
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subparsers, "convert", "turn an offline WavLM into a streaming student's initialisation", _EPILOG
    )
    parser.add_argument(
        "source", help="a transformers WavLM (folder or hub id), or an original .pt with 'cfg' and 'model'"
    )
    parser.add_argument("target", type=Path, help="the folder to write; a .pt if it ends so")
    parser.add_argument(
        "--num-layers",
        type=int,
        metavar="N",
        help="keep the first N layers (default: 12; all with --bidirectional)",
    )
    parser.add_argument(
        "--bidirectional", action="store_true", help="make the offline reference instead, which cannot stream"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there")


def run(arguments: argparse.Namespace) -> int:
    """Convert, save, and say what was made."""
    target: Path = arguments.target
    is_file = target.suffix in (".pt", ".pth")
    holds = target if is_file else target / "model.safetensors"
    if holds.exists() and not arguments.overwrite:
        raise ConfigError(f"{holds} exists; give another target, or --overwrite to replace it")
    from ..conversion import convert

    model = convert(arguments.source, num_layers=arguments.num_layers, bidirectional=arguments.bidirectional)
    if is_file:
        config = _save_pt(model, target)
        print(f"wrote {target}; a .pt cannot state its config, so load it with {config} (-g, or config=)")
    else:
        model.save_pretrained(target)
        print(f"wrote {target}: load it by that name")
    kind = "bidirectional reference" if arguments.bidirectional else "student, not yet trained"
    print(f"{kind}: {model.config.num_layers} layers, {model.num_parameters() / 1e6:.1f} M parameters")
    return 0


def _save_pt(model: StreamingWavLM, target: Path) -> Path:
    """Write a ``.pt`` and, beside it, the config that it needs."""
    import torch
    import yaml

    config = target.with_suffix(".yaml")
    partial, partial_config = (path.with_name(f".{path.name}.partial") for path in (target, config))
    provenance = json.loads(json.dumps(model.provenance))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"student_state_dict": model.state_dict(), "provenance": provenance}, partial)
        partial_config.write_text(yaml.safe_dump(model.config.to_dict(), sort_keys=False), encoding="utf-8")
        partial_config.replace(config)
        partial.replace(target)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise CheckpointError(f"{target} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
            partial_config.unlink(missing_ok=True)
    return config
