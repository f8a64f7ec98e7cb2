"""``streaming-wavlm export``: the whole step as one graph, for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import CHECKPOINT_HELP, add_model_options, load_model, new_parser

if TYPE_CHECKING:
    from ..export import LayerError
    from ..model import StreamingWavLM

# Mirrors streaming_wavlm.export.FORMATS, which would load torch.
FORMATS = ("onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "int8")
_CHECKED_CHUNKS = 4  # at the least, whatever their length
_EPILOG = """\
The file is checked at once: real speech streams through it and through the model, and the difference of every
layer is printed. docs/export.md has a client in 20 lines that needs only onnxruntime and numpy.

examples:
  streaming-wavlm export mini --format onnx --out mini.onnx
  streaming-wavlm export checkpoint.pt --format openvino --precision int8 --chunk-ms 200 --out step/
  streaming-wavlm export mini --format torch --precision bf16 --batch dynamic --out mini.pt2
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subparsers, "export", "write the streaming step as one graph, for other runtimes", _EPILOG
    )
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    add_model_options(parser)
    parser.add_argument("--format", required=True, choices=FORMATS, help="of the graph")
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="of the arithmetic (default: fp32); onnx has fp32, int8; openvino all; torch fp32, bf16",
    )
    parser.add_argument(
        "--batch", default=1, type=_batch, metavar="N", help="streams per step, or 'dynamic' (default: 1)"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="a .onnx, .xml or .pt2 file, or a folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--no-check", action="store_true", help="do not compare the file with the model")


def run(arguments: argparse.Namespace) -> int:
    """Export, say what was written, and check it."""
    from ..export import export, open_exported

    model = load_model(arguments, arguments.checkpoint)
    found: list[LayerError] = []
    path = export(
        model,
        arguments.out,
        format=arguments.format,
        precision=arguments.precision,
        batch=arguments.batch,
        overwrite=arguments.overwrite,
        accept=None if arguments.no_check else lambda made: found.extend(_checked(made, model)),
    )
    files = [path, path.with_suffix(".bin")] if arguments.format == "openvino" else [path]
    size = sum(file.stat().st_size for file in files)
    metadata = open_exported(path, batch=1).metadata
    streams = "any number of streams" if metadata.batch is None else f"batch {metadata.batch}"
    print(f"wrote {' and '.join(map(str, files))}: {size / 1e6:.1f} MB, {metadata.precision}, {streams}")
    latency = metadata.config.latency.algorithmic_ms
    print(f"a step takes {metadata.config.chunk_ms} ms of audio; algorithmic latency {latency:g} ms")
    if found:
        _print_errors(found, metadata.config.chunk_ms)
    return 0


def _checked(path: Path, model: StreamingWavLM) -> list[LayerError]:
    """Compare over a whole window of speech and a second more."""
    from .. import corpus
    from ..export import check

    config = model.config
    window = config.window_size * config.hop / 16_000 + 1
    chunks = (_CHECKED_CHUNKS + 1) * config.chunk_ms / 1000
    return check(path, model, corpus.long_recording(max(window, chunks)))


def _print_errors(errors: list[LayerError], chunk_ms: int) -> None:
    print(f"against the model, on speech in chunks of {chunk_ms} ms:")
    print("layer  relative error  mean cosine  lowest cosine")
    for error in errors:
        numbers = f"{error.relative_error:14.2e}  {error.cosine:11.6f}  {error.lowest_cosine:13.6f}"
        print(f"{error.layer:5d}  {numbers}")


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'dynamic' nor a number of streams") from error
