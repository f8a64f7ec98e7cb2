"""A folder of arrays, each in a file that is whole or not there, within a number of bytes."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..files import replacing

logger = logging.getLogger(__name__)
Array = npt.NDArray[np.float32]

# Other processes write into the same folder: look again how full it is after so many files.
_RECOUNT = 256
_CHECKSUM_BYTES = 4
_STALE_SECONDS = 3600.0
# A file that is read counts as in use for so long, and is marked anew after a part of that.
_IN_USE_SECONDS, _MARK_SECONDS = 300.0, 60.0


class FeatureStore:
    """Arrays ``[layers, frames, dim]`` in float32, read through the memory map.

    A file is a ``.npy`` with a checksum behind it, ``folder/IDENTITY/KE/KEY.npy``. Any number of processes
    may read and write at once: a file appears whole. When the folder is full, what nobody has used for some
    minutes makes room. What this process uses never does, because epochs pass over the recordings in turn and
    the oldest is what comes next. When that is not enough, nothing more is stored for a while.

    Args:
        folder: where; made if missing.
        max_bytes: the most that it may hold.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._full_until = 0.0
        self._told = False
        # When each file was last marked as used.
        self._checked: dict[Path, float] = {}
        self._written: set[Path] = set()
        self._since_count = 0
        self._bytes = self._count()

    @property
    def storing(self) -> bool:
        """Whether the next array is stored, if there is room; after one for which there was none, not yet."""
        return time.time() >= self._full_until

    def read(self, identity: str, key: str, shape: tuple[int, int, int]) -> Array | None:
        """Return an array, or None where it is not stored or is damaged.

        Args:
            identity: what made the array.
            key: which one it is.
            shape: what it must have.
        """
        path = self._path(identity, key)
        try:
            found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
            if found.dtype != np.float32 or found.shape != shape:
                raise ValueError(f"{found.dtype} {found.shape} instead of float32 {shape}")
            if path not in self._checked:
                with path.open("rb") as file:
                    file.seek(-_CHECKSUM_BYTES, os.SEEK_END)
                    if file.read() != _checksum(found):
                        raise ValueError("its checksum is wrong")
            if time.time() - self._checked.get(path, 0.0) > _MARK_SECONDS:
                with contextlib.suppress(OSError):  # the folder may be somebody else's
                    os.utime(path)
                self._checked[path] = time.time()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            logger.warning("the features %s are damaged (%s): computing them again", path, error)
            return None
        return found

    def write(self, identity: str, key: str, array: Array) -> None:
        """Store an array, if there is room.

        Args:
            identity: what made the array.
            key: which one it is.
            array: C-contiguous ``[layers, frames, dim]``.
        """
        if not self.storing:
            return
        self._since_count += 1
        if self._since_count >= _RECOUNT:
            self._bytes, self._since_count = self._count(), 0
        size = array.nbytes + 256
        if self._bytes + size > self.max_bytes:
            self._make_room(size)
        if self._bytes + size > self.max_bytes:
            self._stop(f"it holds {self._bytes / 1e9:.2f} of {self.max_bytes / 1e9:.2f} GB")
            return
        path = self._path(identity, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                with temporary.open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.write(_checksum(array))
                self._bytes += temporary.stat().st_size
        except OSError as error:
            self._stop(str(error))
        else:
            self._checked.pop(path, None)
            self._written.add(path)

    def _path(self, identity: str, key: str) -> Path:
        return self.folder / identity / key[:2] / f"{key}.npy"

    def _stop(self, why: str) -> None:
        self._full_until = time.time() + _MARK_SECONDS
        if not self._told:
            self._told = True
            logger.warning(
                "no more features are kept in %s for now: %s; the run goes on without", self.folder, why
            )

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each file was last used, its size and its path; half-written ones too."""
        found = []
        for path in self.folder.glob("*/*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process was faster
                continue
            found.append((stat.st_mtime, stat.st_size, path))
        return sorted(found)

    def _count(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _make_room(self, size: int) -> None:
        """Delete what nobody uses, with some room to spare, so that this is not done for each array."""
        files = self._files()
        self._bytes, self._since_count = sum(size for _, size, _ in files), 0
        wanted = max(self.max_bytes - max(size, self.max_bytes // 20), 0)
        for used, taken, path in files:
            if self._bytes <= wanted:
                return
            limit = _STALE_SECONDS if path.suffix == ".tmp" else _IN_USE_SECONDS
            mine = path in self._checked or path in self._written
            if not mine and used < time.time() - limit:
                with contextlib.suppress(PermissionError):  # the file may be somebody else's
                    path.unlink(missing_ok=True)
                    self._bytes -= taken


def _checksum(array: Array) -> bytes:
    return zlib.crc32(array.data).to_bytes(_CHECKSUM_BYTES, "little")
