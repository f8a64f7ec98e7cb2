"""Heads on the command line: which are wanted, and over how long they listen."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..heads import Head

_NONE = "none"
_FRAMES_PER_SECOND = 50


def add_head_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--head`` and ``--head-seconds``.

    Args:
        parser: of the subcommand.
        what: happens with a head's outputs.
    """
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="HEAD",
        help=f"a head whose outputs are {what}: an experiment of S3PRL's, a folder that `superb head` "
        "wrote, or 'digits', the embedded one; may be repeated",
    )
    parser.add_argument(
        "--head-seconds",
        type=float,
        metavar="S",
        help="how far back heads that pool listen (default: theirs, 1 to 3 s)",
    )


def open_heads(arguments: argparse.Namespace, checkpoint: str) -> list[Head]:
    """Return the heads that are wanted, in their order.

    Args:
        arguments: of the subcommand.
        checkpoint: whose features they hear.

    Raises:
        StreamingWavLMError: one cannot be had, or the time is none.
    """
    from dataclasses import replace

    from ..errors import HeadError
    from ..heads.folder import embedded_heads
    from ..loading import EMBEDDED
    from ..superb.trained_head import open_head

    wanted: list[str] = arguments.head
    if not wanted and checkpoint == EMBEDDED:
        wanted = list(embedded_heads())
    if _NONE in wanted:
        if len(wanted) > 1:
            raise HeadError("--head none stands alone: it leaves out the embedded one")
        wanted = []
    heads = [open_head(source) for source in wanted]
    names = [head.config.name for head in heads]
    if len(set(names)) < len(names):
        raise HeadError(
            f"two of the heads have one name: {', '.join(names)}; `superb head --name NAME` gives another"
        )
    seconds: float | None = arguments.head_seconds
    if seconds is not None:
        if not seconds > 0:
            raise HeadError(f"--head-seconds must be above 0, got {seconds:g}")
        for head in heads:
            frames = max(1, round(min(seconds, 1e6) * _FRAMES_PER_SECOND))
            head.config = replace(head.config, window_frames=frames)
    return heads
