"""The memory of this process."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mib() -> float:
    """Return the resident memory of this process in MiB; the most it ever was where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource
        import sys

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(largest / (2**20 if sys.platform == "darwin" else 2**10), 1)
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
