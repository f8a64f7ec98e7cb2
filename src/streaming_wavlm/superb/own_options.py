"""Options of the launcher's own, which S3PRL never sees."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..errors import SuperbError
from .heads import Kind


@dataclass(frozen=True)
class OwnOptions:
    """What was asked for besides S3PRL's options.

    Attributes:
        heads: kind of heads; None leaves it to the experiment.
        s3prl: folder of an S3PRL checkout to use in place of the installed package.
    """

    heads: Kind | None = None
    s3prl: Path | None = None


def take(argv: Sequence[str]) -> tuple[OwnOptions, list[str]]:
    """Split a command line into the options of this package and what is S3PRL's.

    Args:
        argv: both, in any order.

    Raises:
        SuperbError: an option has no value, or one that it cannot have.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--heads", choices=get_args(Kind))
    parser.add_argument("--s3prl", type=Path, metavar="PATH")
    found, rest = parser.parse_known_args(list(argv))
    return OwnOptions(found.heads, found.s3prl), rest


def use_checkout(path: Path) -> None:
    """Have S3PRL imported from a checkout of its repository.

    Args:
        path: of the repository, or of the package in it.

    Raises:
        SuperbError: it is none, or another S3PRL is loaded already.
    """
    package = next((p for p in (path / "s3prl", path) if (p / "hub.py").is_file()), None)
    if package is None or package.name != "s3prl":
        raise SuperbError(
            f"--s3prl {path} is no checkout of S3PRL: {path / 's3prl' / 'hub.py'} is not there; "
            "get one with `git clone https://github.com/s3prl/s3prl` and give its folder"
        )
    loaded = sys.modules.get("s3prl")
    if loaded is not None and Path(loaded.__path__[0]).resolve() != package.resolve():
        raise SuperbError(
            f"S3PRL is loaded from {loaded.__path__[0]} already; use --s3prl in a fresh process"
        )
    root = str(package.resolve().parent)
    if root not in sys.path:
        sys.path.insert(0, root)
        importlib.invalidate_caches()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise SuperbError(f"{message}; --heads takes published or causal, --s3prl the folder of a checkout")
