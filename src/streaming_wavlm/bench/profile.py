"""Where the time of a step goes, by torch's operators."""

from __future__ import annotations

from typing import Any

from .crew import Crew

CHUNKS_MS = (400, 1000)
_SHOWN = 6


def measure(crew: Crew) -> dict[str, Any]:
    """Profile a few steps of every candidate.

    Returns:
        ``rows`` for every chunk size and candidate: the operators that took most, each with the milliseconds
        of a step that it took itself, its calls and its share. Of an engine that is not torch's it shows only
        what is around it.
    """
    rows = []
    for chunk_ms in CHUNKS_MS:
        crew.settings.say(f"{crew.model.name}: profiles of steps of {chunk_ms} ms")
        for name, worker in crew.prepared(chunk_ms, among=crew.at(chunk_ms)).items():
            operators = worker.call("profile", steps=3)
            total = sum(operator["ms"] for operator in operators) or 1.0
            rows.append(
                {
                    "model": crew.model.name,
                    "chunk_ms": chunk_ms,
                    "variant": name,
                    "ms": round(total, 2),
                    "operators": [
                        {**operator, "share": round(operator["ms"] / total, 3)}
                        for operator in operators[:_SHOWN]
                    ],
                }
            )
    return {"rows": rows}
