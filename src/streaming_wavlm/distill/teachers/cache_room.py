"""How full a folder of targets is: known to all who share it, and to those who come back."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...files import replacing

# Other processes write into the same folder: look again how full it is after so many files.
_RECOUNT = 256


class CacheRoom:
    """Decides whether targets still find room.

    Once something did not, the folder stays full, for other processes and after a restart too: a mark in it
    says so. A run that goes on then knows what the stopped one knew. The mark counts until files are removed
    or the limit is another.

    Args:
        folder: where the targets are; it need not exist.
        max_bytes: the most that it may hold.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._folder = folder
        self._mark = folder / f"full-{max_bytes}"
        self._since_count = 0
        self.bytes = self._counted()
        self._full = self._marked()

    @property
    def full(self) -> bool:
        """Whether nothing more is to be stored."""
        self._full = self._full or self._mark.exists()
        return self._full

    def fits(self, size: int) -> bool:
        """Return whether so many bytes more find room; if they do not, the folder is full from then on."""
        if self.full:
            return False
        self._since_count += 1
        if self._since_count >= _RECOUNT:
            self.bytes, self._since_count = self._counted(), 0
        if self.bytes + size <= self.max_bytes:
            return True
        self._full = True
        with contextlib.suppress(OSError):  # this process knows it without
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._mark) as temporary:
                temporary.write_text(str(self.bytes), encoding="utf-8")
        return False

    def add(self, size: int) -> None:
        """Count a file that was written."""
        self.bytes += size

    def _marked(self) -> bool:
        """Whether the mark is there and still true; one that is not is removed."""
        try:
            if self.bytes >= int(self._mark.read_text(encoding="utf-8")):
                return True
            self._mark.unlink()
        except (OSError, ValueError):
            pass
        return False

    def _counted(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob("*/*.safetensors"))
