"""``streaming-wavlm compare``: where in depth and in time causality costs most."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .options import CHECKPOINT_HELP, new_parser
from .progress import Bar

if TYPE_CHECKING:
    from ..distill.compare_audio import Beginnings
    from ..distill.compare_result import Comparison, LayerPair
    from ..distill.teachers import Teacher
    from ..model import StreamingWavLM

_SECONDS = 30.0
_EPILOG = """\
TEACHER is "self" (the student hearing the whole recording), "logmel", a folder of transformers (WavLM,
HuBERT, wav2vec 2.0, Whisper's encoder) or a model of this package, heard whole. Where it is as wide as the
student the frames are compared as they are; otherwise behind a linear map fitted on every other recording and
scored on the rest.

The error is relative to how much the teacher's frames vary: 0 is exact, 1 says no more than their mean.

examples:
  streaming-wavlm compare mini self recordings --out compared
  streaming-wavlm compare mini ../whisper-base-encoder recordings --layers 4:2,6:4,8:6 --out compared
  streaming-wavlm compare student ../wavlm-large recordings --teacher normalize=true --chunk-ms 400,whole
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subparsers, "compare", "show where in depth and time a student differs from a teacher", _EPILOG
    )
    parser.add_argument("student", metavar="STUDENT", help=CHECKPOINT_HELP)
    parser.add_argument("teacher", metavar="TEACHER", help='"self", or a model; see below')
    parser.add_argument("sources", nargs="+", metavar="FILE_OR_FOLDER", help="audio of any format and rate")
    parser.add_argument(
        "-g", "--config", metavar="FILE", help="YAML or JSON with config fields of the student"
    )
    parser.add_argument(
        "--chunk-ms",
        type=_chunks,
        default="200,400,800,whole",
        metavar="LIST",
        help="chunk sizes (default: 200,400,800,whole)",
    )
    parser.add_argument(
        "--layers",
        type=_layers,
        metavar="LIST",
        help="such as 1,6,12 or, with the teacher's, 4:2,8:6 (from 1; default: all)",
    )
    parser.add_argument(
        "--shift", type=int, default=0, metavar="N", help="teacher frames to go on (default: 0)"
    )
    parser.add_argument(
        "--through", default="auto", choices=("auto", "direct", "map"), help="how to compare (default: auto)"
    )
    parser.add_argument(
        "--teacher", dest="words", action="append", default=[], metavar="KEY=VALUE",
        help="a field of the teacher as in a recipe: kind, normalize, chunk_ms, dtype, …",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=_SECONDS, metavar="N", help="used of each recording (default: 30)"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for compare.json and compare.png")
    parser.add_argument("--device", default="auto", help="cpu, cuda, … (default: cuda where there is one)")
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Compare, print a table, and write the numbers and a picture."""
    import torch

    from ..distill.compare import compare
    from ..distill.compare_teacher import named_teacher
    from ..loading import load

    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    recordings, problems = _recordings(arguments.sources, arguments.seconds)
    student = load(arguments.student, config=arguments.config, device=device)
    teacher = named_teacher(arguments.teacher, arguments.words, device)
    with Bar("comparing", shown=not arguments.no_progress) as bar:
        found = compare(
            student,
            teacher,
            recordings,
            chunks=arguments.chunk_ms,
            pairs=_pairs(arguments.layers, student, teacher),
            shift=arguments.shift,
            through=arguments.through,
            on_progress=lambda done: bar.update(done, len(recordings)),
        )
    _print(found, len(problems))
    if arguments.out is not None:
        _write(found, arguments, problems)
    return 0


def _recordings(sources: list[str], seconds: float) -> tuple[Beginnings, tuple[str, ...]]:
    """Return what can be read, and say what cannot."""
    from ..distill.compare_audio import Beginnings
    from ..errors import AudioError
    from ..recordings import find_recordings

    found = find_recordings(sources)
    if found.without_audio:
        raise AudioError(f"{found.without_audio[0]} holds no audio; give recordings, or folders of them")
    paths = [recording.path for recording in found.recordings]
    recordings, problems = Beginnings(paths, seconds).readable()
    if not recordings:
        raise AudioError(f"none of the {len(paths)} recordings can be read, the last because: {problems[-1]}")
    for problem in problems:
        print(f"not compared: {problem}", file=sys.stderr)
    return recordings, problems


def _pairs(
    layers: list[tuple[int, int | None]] | None, student: StreamingWavLM, teacher: Teacher | None
) -> tuple[LayerPair, ...]:
    from ..distill.compare import paired_layers
    from ..distill.compare_result import LayerPair

    if layers is None:
        return paired_layers(student, teacher)
    usual = paired_layers(student, teacher, [ours for ours, _ in layers])
    return tuple(
        pair if theirs is None else LayerPair(pair.student, theirs)
        for pair, (_, theirs) in zip(usual, layers, strict=True)
    )


def _print(found: Comparison, unreadable: int) -> None:
    """Print error and cosine of each layer at each chunk size."""
    heads = [str(item.chunk) if item.chunk == "whole" else f"{item.chunk} ms" for item in found.chunks]
    rows = [
        [str(pair), *(f"{item.errors[k]:.3f} ({item.cosines[k]:.3f})" for item in found.chunks)]
        for k, pair in enumerate(found.pairs)
    ]
    rows.append(["all", *(f"{item.error:.3f}" for item in found.chunks)])
    rows.append(["no future", *(_edge(item.by_future[:1]) for item in found.chunks)])
    rows.append(["most future", *(_edge(item.by_future[-1:]) for item in found.chunks)])
    title = f"error (cosine) over {found.seconds:.0f} s of {found.recordings} recordings"
    if found.through == "map":
        title += ", behind linear maps fitted on others"
    if unreadable:
        title += f"; {unreadable} could not be read"
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title)
        for row in [["layer", *heads], *rows]:
            print("".join(f"{cell:<16}" for cell in row).rstrip())
        return
    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    for head in heads:
        table.add_column(head, justify="right")
    for number, row in enumerate(rows, start=1):
        table.add_row(*row, end_section=number == len(found.pairs))
    Console(file=sys.stdout).print(table)


def _edge(places: Any) -> str:
    return f"{places[0].error:.3f}" if places else "-"


def _write(found: Comparison, arguments: argparse.Namespace, problems: tuple[str, ...]) -> None:
    from ..distill.compare_plot import draw_comparison
    from ..errors import OutputError
    from ..files import replacing

    out = arguments.out
    told = {
        "student": arguments.student,
        "teacher": arguments.teacher,
        **found.values(),
        "unreadable": list(problems),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / "compare.json") as path:
            path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        draw_comparison(out / "compare.png", found, _short(arguments.student), _short(arguments.teacher))
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror or error}; give another --out"
        ) from error
    print(f"{out / 'compare.json'}\n{out / 'compare.png'}")


def _short(name: str) -> str:
    """What to call a model in a title: two parts of its path."""
    return "its own whole-recording pass" if name == "self" else "/".join(Path(name).parts[-2:])


def _chunks(text: str) -> list[int | Literal["whole"]]:
    try:
        return [part if part == "whole" else int(part) for part in text.split(",")]  # type: ignore[misc]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list like 200,400,whole") from error


def _layers(text: str) -> list[tuple[int, int | None]]:
    try:
        pairs = [part.partition(":") for part in text.split(",")]
        return [(int(ours), int(theirs) if colon else None) for ours, colon, theirs in pairs]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list like 1,6,12 or 4:2,8:6") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
