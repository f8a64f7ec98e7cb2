"""Memory that a step has used stays with the process, so that the next step does not ask for it again."""

from __future__ import annotations

import ctypes
import functools
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 32 * 2**20  # what M_MMAP_THRESHOLD can be at most
_KEPT = 256 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed memory, up to 256 MiB of it, instead of giving it back at once.

    A step asks for a few megabytes in large pieces and frees them. By default each goes back to the system
    and comes again as zeroed pages, one page fault per 4 KiB: a tenth of a step's time or more. This holds
    for the whole process, from the first engine on.

    Returns:
        Whether the C library is glibc and did so.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
