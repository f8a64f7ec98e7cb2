"""A bearer token that does not show in the list of processes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import ServerError

VARIABLE = "STREAMING_WAVLM_TOKEN"


def add_token_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--token-file``."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the bearer token (default: the environment variable {VARIABLE}, if it is set)",
    )


def read_token(arguments: argparse.Namespace) -> str | None:
    """Return the token, or None if there is none.

    Raises:
        ServerError: the file cannot be read, or the token is none that a header can carry.
    """
    path: Path | None = arguments.token_file
    try:
        token = os.environ.get(VARIABLE) if path is None else path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ServerError(f"the token cannot be read from {path} ({error}); give a text file") from error
    if path is None and not token:
        return None
    # What a subprotocol may be made of: pages send the token as one.
    if not token or not all(
        sign.isascii() and (sign.isalnum() or sign in "!#$%&'*+-.^_`|~") for sign in token
    ):
        raise ServerError(
            f"a token is one word of letters, digits and -._~ , which {path or VARIABLE} does not hold; "
            "make one with: openssl rand -hex 24"
        )
    return token
