"""What a step costs: every engine and precision, beside the eager step, the sliding window and the floor."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

from .crew import BASELINE, Crew
from .equality import Equality
from .process import CannotRunError, Worker
from .timing import Spread, joined, load_average, ratios
from .work import Machine, floor_seconds

CHUNKS_MS = (80, 200, 400, 800, 1000)
#: The chunk size beside which the sliding window runs; what it costs depends on its window, not on the chunk.
SLIDING_CHUNK_MS = 400


def measure(crew: Crew) -> dict[str, Any]:
    """Time one step of one stream, its window full, at every chunk size.

    Args:
        crew: the candidates.

    Returns:
        ``rows`` for every chunk size and candidate, the ``machine`` at every chunk size, the ``sliding``
        window's time, and the ``checks``.
    """
    peaks = crew.hire("peaks")
    sliding: Worker | None = None
    try:
        config = crew.model.config.to_dict()
        sliding = crew.hire("sliding", config=config)
    except CannotRunError as error:
        crew.skipped["sliding window"] = str(error)
    found: dict[str, Any] = {"rows": [], "machine": {}, "sliding": None, "checks": []}
    for chunk_ms in CHUNKS_MS:
        crew.settings.say(f"{crew.model.name}: steps of {chunk_ms} ms")
        slow = sliding if chunk_ms == SLIDING_CHUNK_MS else None
        _measure_chunk(crew, chunk_ms, peaks, slow, found)
    for worker in (peaks, sliding):
        if worker is not None:
            worker.close()
    return found


def machine_of(turns: list[dict[str, float]]) -> Machine:
    """Return the medians of what the machine was measured to do; without int8, its rate is that of bf16."""
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    bandwidth = medians.pop("bandwidth")
    return Machine({"int8": medians["bf16"], **medians}, bandwidth)


def _measure_chunk(
    crew: Crew, chunk_ms: int, peaks: Worker, sliding: Worker | None, found: dict[str, Any]
) -> None:
    ready = crew.prepared(chunk_ms, among=crew.at(chunk_ms))
    outputs = {name: crew.array(worker, "step_output") for name, worker in ready.items()}
    equal = {name: Equality.of(output, outputs[BASELINE]) for name, output in outputs.items()}
    rounds = crew.settings.rounds
    what = f"{chunk_ms} ms"
    begin = load_average()
    times = crew.take_turns(ready, rounds, what, {"peaks": partial(peaks.call, "turn")}, **crew.model.turn)
    # The sliding window takes as long as hundreds of steps: it has a few turns, with all others' beside.
    beside: dict[str, list[list[float]]] = {}
    if sliding is not None:
        sliding.call("turn")
        slow = {"sliding": partial(sliding.call, "turn")}
        beside = crew.take_turns(ready, max(2, rounds // 4), f"{what}, sliding", slow, **crew.model.turn)
        found["sliding"] = {
            "chunk_ms": chunk_ms,
            "ms": Spread.of(joined(beside["sliding"])).rounded(1000),
        }
    measured = times.pop("peaks")
    machine = machine_of(measured)
    found["machine"][str(chunk_ms)] = {
        "load_before": begin,
        "load_after": load_average(),
        "gigaops": {name: round(rate / 1e9, 1) for name, rate in machine.rates.items()},
        "bandwidth_gb": round(machine.bandwidth / 1e9, 1),
    }
    config = crew.model.config.replace(chunk_ms=chunk_ms)
    for name, turn in times.items():
        engine, precision = name.split()
        spread = Spread.of(joined(turn))
        over = ratios(beside["sliding"], beside[name]).rounded() if name in beside else None
        floor = floor_seconds(config, precision, machine)
        floors = [[floor_seconds(config, precision, machine_of([peak]))] for peak in measured]
        found["rows"].append(
            {
                "model": crew.model.name,
                "chunk_ms": chunk_ms,
                "variant": name,
                "engine": engine,
                "precision": precision,
                "ms": spread.rounded(1000),
                "real_time_factor": round(1000 * spread.median / chunk_ms, 4),
                "times_faster": ratios(times[BASELINE], turn).rounded(),
                "floor_ms": round(1000 * floor, 3),
                "over_floor": ratios(turn, floors).rounded(),
                "sliding_over_step": over,
                "equality": equal[name].to_dict(),
            }
        )
        found["checks"].append(
            {
                "what": f"{crew.model.name}, {chunk_ms} ms, {name}: one step as the {BASELINE} step",
                "holds": equal[name].holds(precision),
                "detail": f"largest relative error {max(equal[name].errors):.2g}, "
                f"lowest cosine {min(equal[name].cosines):.6f}",
            }
        )
