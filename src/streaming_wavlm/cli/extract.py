"""``streaming-wavlm extract``: features of many recordings into a folder."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import CHECKPOINT_HELP, add_device_options, add_model_options, load_model, new_parser
from .progress import Bar

if TYPE_CHECKING:
    from ..extract import ExtractReport

_EPILOG = """\
Each recording becomes one array [layers, frames, dim], 50 frames per second, under the name it has in its
folder. Run again, the command goes on where it stopped; features made with another checkpoint, config or
choice of layers are never mixed in. The exit status is 1 if a recording could not be read.

examples:
  streaming-wavlm extract recordings --checkpoint mini --out features
  streaming-wavlm extract a.flac b.mp3 -k checkpoint.pt -g config.yaml --out features --layers 0,5,11
  streaming-wavlm extract meeting.wav -k mini --out features --stream --chunk-ms 200 --save-dtype float16
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "extract", "write the features of recordings, one file each", _EPILOG)
    parser.add_argument("sources", nargs="+", metavar="FILE_OR_FOLDER", help="audio of any format and rate")
    parser.add_argument("-k", "--checkpoint", required=True, help=CHECKPOINT_HELP)
    add_model_options(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the features go")
    parser.add_argument(
        "--format",
        default="safetensors",
        choices=("safetensors", "npy"),
        help="of the files (default: safetensors)",
    )
    parser.add_argument(
        "--layers",
        type=_layers,
        metavar="LIST",
        help="such as 0,5,11 (from 0; -1 is the last) or all (default)",
    )
    parser.add_argument(
        "--stream", action="store_true", help="feed chunk by chunk, in bounded memory; same features"
    )
    parser.add_argument("--overwrite", action="store_true", help="compute again what is there")
    parser.add_argument(
        "--save-dtype",
        choices=("float32", "float16", "bfloat16", "float64"),
        help="of the files (default: --dtype)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
    add_device_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Extract, show progress, and list at the end what could not be read."""
    import torch

    from ..extract import extract

    model = load_model(arguments, arguments.checkpoint)
    save_dtype = getattr(torch, arguments.save_dtype) if arguments.save_dtype else None
    began = time.monotonic()
    with Bar("extracting", shown=not arguments.no_progress) as bar:
        report = extract(
            model,
            arguments.sources,
            arguments.out,
            layers=arguments.layers,
            file_format=arguments.format,
            save_dtype=save_dtype,
            stream=arguments.stream,
            overwrite=arguments.overwrite,
            on_progress=lambda now: bar.update(now.files, now.total, f"{_duration(now.seconds)} of audio"),
        )
    _summarise(report, arguments.out, time.monotonic() - began)
    return 1 if report.failures else 0


def _summarise(report: ExtractReport, out: Path, elapsed: float) -> None:
    speed = f", {report.seconds / elapsed:.0f} times real time" if report.seconds and elapsed else ""
    print(f"{len(report.written)} recordings ({_duration(report.seconds)}{speed}) to {out}")
    if report.skipped:
        print(f"{report.skipped} were there already")
    if report.failures:
        sys.stdout.flush()
        sys.stderr.write(f"{len(report.failures)} could not be read:\n")
        for failure in report.failures:
            sys.stderr.write(f"  {failure.reason}\n")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _layers(text: str) -> list[int] | None:
    if text == "all":
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'all' nor numbers like 0,5,11") from error
