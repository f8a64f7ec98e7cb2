"""Options that several subcommands share, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import StreamingWavLM
    from ..streaming import Streaming

CHECKPOINT_HELP = (
    "a .pt or .safetensors file, a folder, a Hugging Face hub id, or 'mini' for the embedded one"
)


def new_parser(subparsers: Any, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """Add a subcommand that takes ``--debug`` and ``-v`` after its name, too."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbose", action="count", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``sw.load`` takes beside the checkpoint."""
    parser.add_argument(
        "-g",
        "--config",
        metavar="FILE",
        help="YAML or JSON with config fields that the checkpoint does not state",
    )
    parser.add_argument(
        "--chunk-ms",
        type=int,
        metavar="MS",
        help="audio that one step processes (default: the checkpoint's, or 400)",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add where and in which precision the model runs."""
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, … (default: cuda where there is one, else cpu)"
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float64", "bfloat16"),
        help="precision of the model",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add how the model runs, where it only runs."""
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="eager, packed, … or auto, the fastest here: measured once, remembered (default: auto)",
    )
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "int8"), help="default: fp32")


def load_engine(arguments: argparse.Namespace, source: str) -> Streaming[Any]:
    """Load the model that the options describe, and the engine that runs it.

    Raises:
        StreamingWavLMError: it cannot be loaded, or the engine cannot run here.
    """
    from ..engines import make_engine

    return make_engine(load_model(arguments, source), arguments.engine, arguments.precision)


def load_model(arguments: argparse.Namespace, source: str) -> StreamingWavLM:
    """Load the model that the options describe.

    Raises:
        StreamingWavLMError: it cannot be loaded.
    """
    import torch

    from ..loading import load

    device = getattr(arguments, "device", "cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return load(
        source,
        config=arguments.config,
        chunk_ms=arguments.chunk_ms,
        device=device,
        dtype=getattr(arguments, "dtype", None),
    )
