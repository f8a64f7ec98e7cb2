"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there once it is complete.

    Args:
        path: the file to be; its folder must exist.

    Yields:
        The temporary path to write. If the block ends without an error it takes the place of ``path``;
        otherwise it is removed, and what was there stays.

    Raises:
        OSError: the file cannot be put in its place.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
