"""Files that appear whole or not at all, and locks between processes."""

from __future__ import annotations

import errno
import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

_BYTES = 4
_TEMPORARY = re.compile(rf"\..+\.[0-9a-f]{{{2 * _BYTES}}}\.tmp")

# What a file system without locks says, such as some Lustre and NFS mounts.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there once it is complete.

    Args:
        path: the file to be; its folder must exist.

    Yields:
        The temporary path to write, an empty file. If the block ends without an error it takes the place of
        ``path``; otherwise it is removed, and what was there stays.

    Raises:
        OSError: the file cannot be put in its place.
    """
    temporary = temporary_name(path)
    try:
        with usual_mode(temporary):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """Return a name of its own beside a file that is to be; :func:`sweep` finds what is left under such."""
    return path.with_name(f".{path.name}.{secrets.token_hex(_BYTES)}.tmp")


@contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Have a new file readable by whom the umask lets, whatever writes it: safetensors lets its owner alone.

    Args:
        path: the file; an empty one is there when the block begins.

    Raises:
        OSError: it cannot be made.
    """
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(mode)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of files that they were writing, at any depth.

    These are known by the names that :func:`temporary_name` gives; whatever else is there stays.

    Args:
        folder: where nobody else is writing now.

    Raises:
        OSError: something cannot be removed.
    """
    for left in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(left.name) and left.is_file():
            left.unlink(missing_ok=True)


def locked(path: Path) -> IO[str] | None:
    """Take a lock that other processes can see.

    Args:
        path: the lock's file; made if missing, never removed.

    Returns:
        The open file: closing it lets go, and so does the end of the process, however it ends. None where
        the system or the file system has no such locks.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file cannot be opened, or the lock fails for another reason.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s cannot be locked here (%s): let nobody else work in its folder", path, error)
        return None
    return file
