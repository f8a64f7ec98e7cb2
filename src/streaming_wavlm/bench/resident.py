"""The memory of a process that streams, by engine and precision."""

from __future__ import annotations

from typing import Any

from .crew import BASELINE, Crew
from .streams import CHUNK_MS


def measure(crew: Crew) -> dict[str, Any]:
    """Read the resident memory of every candidate's process, past its window; it has run one stream only.

    Returns:
        ``rows``: MiB, and how many times the baseline's.
    """
    memory = {}
    for name, worker in crew.prepared(CHUNK_MS).items():
        worker.call("turn", warm=6, measured=0)
        memory[name] = worker.call("memory")
    return {
        "rows": [
            {
                "model": crew.model.name,
                "variant": name,
                "resident_mib": mib,
                "over_baseline": round(mib / memory[BASELINE], 3),
            }
            for name, mib in memory.items()
        ]
    }
