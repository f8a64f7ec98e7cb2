"""Memory that a step has used stays with the process; what loading has used goes back."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 32 * 2**20  # what M_MMAP_THRESHOLD can be at most
_KEPT = 64 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed memory, up to 64 MiB of it, instead of giving it back at once.

    A step asks for a few megabytes in large pieces and frees them. By default each goes back to the system
    and comes again as zeroed pages, one page fault per 4 KiB: a tenth of a step's time or more. This holds
    for the whole process, from the first engine on.

    Returns:
        Whether the C library is glibc and did so.
    """
    mallopt = _glibc("mallopt")
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _KEPT))


def give_back_memory() -> bool:
    """Give all freed memory back to the system: that of a model whose weights an engine has laid out anew.

    Returns:
        Whether the C library is glibc and gave some back.
    """
    trim = _glibc("malloc_trim")
    return bool(trim and trim(0))


def _glibc(name: str) -> Any:
    """Return a function of glibc, or None where the C library has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
