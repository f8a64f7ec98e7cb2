"""How many streams one machine serves in real time, by how many step together."""

from __future__ import annotations

from functools import partial
from typing import Any

from .crew import BASELINE, Crew
from .steps import machine_of
from .timing import Spread, joined, load_average, ratios
from .work import floor_seconds

BATCHES = (1, 4, 8, 16, 32)
CHUNK_MS = 400
# The steps of the slowest take seconds for a large batch, which says no more than a smaller one.
_LARGEST = {"eager": 8, "onnxruntime": 8}
# At full size, two graphs' states of 32 streams beside those of the others are more than 24 GB hold.
_LARGEST_AT_FULL_SIZE = {"openvino": 16}


def measure(crew: Crew) -> dict[str, Any]:
    """Time steps of independent streams at different positions.

    Returns:
        ``rows`` for every candidate and batch: time of a step, streams in real time, and its floor.
    """
    rows = []
    peaks = crew.hire("peaks")
    rounds = max(2, crew.settings.rounds // 4)
    begin = load_average()
    for batch in BATCHES:
        crew.settings.say(f"{crew.model.name}: {batch} streams")
        # What is done goes: the memory of 32 streams of every candidate is more than many machines have.
        for name in [name for name in crew.workers if not _takes_part(crew, name, batch)]:
            crew.workers.pop(name).close()
        ready = crew.prepared(CHUNK_MS, batch)
        what = f"{CHUNK_MS} ms, batch {batch}"
        crew.take_turns(ready, 1, what, warm=1, measured=0)  # takes the state over
        machine = {"peaks": partial(peaks.call, "turn")}
        times = crew.take_turns(ready, rounds, what, machine, warm=1 if batch == 1 else 0, measured=2)
        measured = times.pop("peaks")
        config = crew.model.config.replace(chunk_ms=CHUNK_MS)
        for name, turn in times.items():
            spread = Spread.of(joined(turn))
            precision = name.split()[1]
            floor = floor_seconds(config, precision, machine_of(measured), batch)
            floors = [[floor_seconds(config, precision, machine_of([peak]), batch)] for peak in measured]
            rows.append(
                {
                    "model": crew.model.name,
                    "variant": name,
                    "batch": batch,
                    "ms": spread.rounded(1000),
                    "streams": round(batch * CHUNK_MS / (1000 * spread.median), 2),
                    "floor_ms": round(1000 * floor, 2),
                    "over_floor": ratios(turn, floors).rounded(),
                }
            )
    peaks.close()
    return {"rows": rows, "chunk_ms": CHUNK_MS, "load_before": begin, "load_after": load_average()}


def _takes_part(crew: Crew, name: str, batch: int) -> bool:
    engine = name.split(maxsplit=1)[0]
    if engine == "eager" and name != BASELINE:
        return False
    limited = crew.model.full_size and crew.settings.engines is None
    largest = _LARGEST | (_LARGEST_AT_FULL_SIZE if limited else {})
    if batch <= largest.get(engine, max(BATCHES)):
        return True
    if engine in _LARGEST_AT_FULL_SIZE:
        crew.skipped[f"{name}, {batch} streams"] = f"they take gigabytes; --engines {engine} measures them"
    return False
