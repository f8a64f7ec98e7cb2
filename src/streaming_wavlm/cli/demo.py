"""``streaming-wavlm demo``: see it work on real speech."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import CHECKPOINT_HELP, new_parser

if TYPE_CHECKING:
    from ..demo.streaming import Measurement
    from ..model import StreamingWavLM

_SECONDS = 30.0
_EPILOG = """\
Streams a real recording through the checkpoint at each chunk size and compares with one pass, draws the
features, then trains and evaluates SUPERB's speaker identification on the speech in this package, through
S3PRL. It takes some minutes on two cores.

examples:
  streaming-wavlm demo
  streaming-wavlm demo --checkpoint checkpoint.pt --out demo-out --skip-training
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "demo", "show streaming, draw it, and train a task on it", _EPILOG)
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="default: demo-out"
    )
    parser.add_argument("-k", "--checkpoint", default="mini", help=f"{CHECKPOINT_HELP} (default: mini)")
    parser.add_argument("--skip-training", action="store_true", help="leave speaker identification out")
    parser.add_argument(
        "--steps",
        type=_positive,
        default=300,
        metavar="N",
        help="training steps of speaker identification (300)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the three parts and print what they found."""
    import torch

    from ..checkpoint import is_random
    from ..loading import load

    began = time.monotonic()
    model = load(arguments.checkpoint)
    if is_random(model.provenance):
        print(
            f"NOTE: {arguments.checkpoint} has random weights. It is untrained: what follows shows that the\n"
            "machinery works, and how fast; the features themselves mean nothing.\n"
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _stream(model, arguments)
    finally:
        torch.set_num_threads(threads)
    if not arguments.skip_training:
        _identify_speakers(model, arguments)
    print(f"\nall in {_minutes(time.monotonic() - began)}")
    return 0


def _stream(model: StreamingWavLM, arguments: argparse.Namespace) -> None:
    from .. import corpus
    from ..checkpoint import is_random
    from ..demo.picture import draw
    from ..demo.streaming import PACKET, measure_all

    wav = corpus.long_recording(_SECONDS)
    print(
        f"1. Streaming {_SECONDS:g} s of real speech through {arguments.checkpoint} "
        f"({model.num_parameters() / 1e6:.1f} M parameters), {PACKET // 16} ms at a time, on one core\n"
    )
    print("   chunk           algorithmic   real-time   longest   largest difference,")
    print("                       latency      factor      wait   streamed − one pass")
    measurements: list[Measurement] = []
    for item in measure_all(model, wav):
        measurements.append(item)
        print(
            f"   {item.name:<14} {item.latency_ms:>9g} ms {item.real_time_factor:>11.3f} "
            f"{item.step_ms:>6.0f} ms {item.difference:>21.1e}",
            flush=True,
        )
    print(f"\n   (float32; the features' root mean square is {measurements[0].magnitude:.2g})")
    random = " (random weights)" if is_random(model.provenance) else ""
    picture = arguments.out / "streaming.png"
    draw(picture, wav, measurements, f"Streamed features of {Path(arguments.checkpoint).name}{random}")
    print(f"\n2. The features, layer by layer and chunk size by chunk size: {picture}")


def _identify_speakers(model: StreamingWavLM, arguments: argparse.Namespace) -> None:
    from ..checkpoint import is_random
    from ..demo.speakers import BASELINES, STREAMING, identify_speakers

    random = "random weights, " if is_random(model.provenance) else ""
    print(
        "\n3. Speaker identification (S3PRL, -d voxceleb1) on the speech in this package, "
        f"{arguments.steps} steps each\n",
        flush=True,
    )
    chance = 0.0
    for score in identify_speakers(arguments.out / "speakers", arguments.checkpoint, arguments.steps):
        ours = score.upstream == STREAMING
        name = f"{STREAMING} -k {arguments.checkpoint}" if ours else f"S3PRL's {score.upstream}"
        note = f"{random if ours else ''}{_minutes(score.seconds)}"
        print(f"   {name:<36} {score.accuracy:>6.1%} correct   ({note})", flush=True)
        chance = score.chance
    print(f"   {'guessing':<36} {chance:>6.1%}")
    print(
        f"\n   {BASELINES[0]}, SUPERB's baseline, has zero mean over each recording, which leaves nothing\n"
        f"   to a head that averages over time; {BASELINES[1]} is the same without that."
    )


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of steps")
    return int(text)
