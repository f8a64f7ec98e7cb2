"""From the command line to a subcommand and back to an exit status.

Nothing here imports torch, so that ``--help`` answers at once: the subcommands import what they need when
they run.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from ..errors import StreamingWavLMError
from . import bench, compare, convert, demo, distill, export, extract, info, serve, stream, superb

COMMANDS: dict[str, ModuleType] = {
    "info": info, "extract": extract, "convert": convert, "export": export, "distill": distill,
    "compare": compare, "superb": superb, "stream": stream, "serve": serve, "demo": demo,
    "bench": bench,
}  # fmt: skip

USER_ERROR, UNEXPECTED_ERROR = 2, 1
INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE

_EPILOG = """\
examples:
  streaming-wavlm info mini                                    what a checkpoint is, and its latency
  streaming-wavlm extract recordings -k mini --out features    features of a folder of recordings
  streaming-wavlm stream mic                                   the microphone, live in the terminal
  streaming-wavlm serve                                        the same on a page, for many at once
  streaming-wavlm demo                                         see it work on real speech
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; those of the process when None.

    Returns:
        The exit status: 0, 1 if part of the work failed, 2 for an error of the user, 130 after Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    # Threads that spin while they wait make a busy machine many times slower. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _set_up_logging(arguments.verbose)
    try:
        status: int = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. Python must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except StreamingWavLMError as error:
        if arguments.debug:
            raise
        _complain(str(error))
        return USER_ERROR
    except Exception as error:  # one line, whatever happened; --debug has the rest
        if arguments.debug:
            raise
        _complain(f"{type(error).__name__}: {error} (run it again with --debug to see where)")
        return UNEXPECTED_ERROR
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="streaming-wavlm",
        description="WavLM made causal: speech features chunk by chunk, exactly as one pass would give them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice for everything")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{parser.prog} {version('streaming-wavlm')}")
        except PackageNotFoundError:
            print(f"{parser.prog}, from a source tree that is not installed")
        parser.exit()


def _set_up_logging(verbose: int) -> None:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


def _complain(message: str) -> None:
    sys.stderr.write(f"streaming-wavlm: {message}\n")
