"""Memory that is free goes back to the system.

A stream's state is made in one thread and let go of in another. Under glibc such memory stays with the
process in pieces, and a server that runs for weeks would seem to leak.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_EVERY_SECONDS = 10.0


async def keep_giving_back() -> None:
    """Give free memory back now and then, until cancelled; does nothing where the system cannot."""
    trim = _trimmer()
    while trim is not None:
        await asyncio.sleep(_EVERY_SECONDS)
        # It takes milliseconds, and the event loop is not to wait for it.
        await asyncio.to_thread(trim)


def _trimmer() -> Callable[[], int] | None:
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return None
    return lambda: int(function(0))
