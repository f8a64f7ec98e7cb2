"""Whether an old stream costs more than a young one: an hour of it, a chunk of each in turn."""

from __future__ import annotations

import statistics
from typing import Any

from .crew import Model, Settings
from .process import Worker
from .timing import Spread, load_average

_ENGINE = "packed"
#: By model: the precision, up to which minute the stream is streamed, and the minutes that are looked at.
_LIVES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "mini": ("fp32", 60, (1, 2, 5, 10, 20, 40, 60)),
    "large": ("bf16", 2, (1, 2, 60)),
}
_COMPARED = {"mini": 60, "large": 24}


def measure(model: Model, settings: Settings) -> dict[str, Any]:
    """Let a stream grow an hour old and compare its steps with those of the same stream a minute old.

    The small model streams every chunk of the hour. The large one streams two minutes; then its state is
    moved to the hour: a state has nothing that depends on its age but the position, and the step before the
    move and the one after must give the same bits.

    Returns:
        ``rows`` by minute: times, ratio and memory; how much was ``streamed``; and the ``checks``.
    """
    precision, streamed, minutes = _LIVES[model.name]
    per_minute = 60_000 // model.config.chunk_ms
    rows, checks, means = [], [], []
    begin = load_average()
    with Worker(
        "ageing", settings.threads, source=model.source, engine=_ENGINE, precision=precision
    ) as worker:
        done = 0
        for minute in minutes:
            settings.say(f"{model.name}: minute {minute} of a stream")
            missing = minute * per_minute - done
            if minute > streamed:
                path = str(settings.folder / "old.safetensors")
                difference = worker.call("jump", frames=missing * model.config.chunk_frames, path=path)
                checks.append(
                    {
                        "what": f"{model.name}: a step after its state was moved to minute {minute}",
                        "holds": difference == 0,
                        "detail": f"differs by {difference:g}",
                    }
                )
                done += missing + 1
            else:
                means.append(worker.call("advance", steps=missing))
                done += missing
            steps = _COMPARED[model.name]
            compared = worker.call("compare", steps=steps)
            done += steps + 1
            old, young = compared["old"], compared["young"]
            rows.append(
                {
                    "model": model.name,
                    "minute": minute,
                    "ms": Spread.of(old).rounded(1000),
                    "young_ms": Spread.of(young).rounded(1000),
                    "over_young": Spread.of([a / b for a, b in zip(old, young, strict=True)]).rounded(),
                    "memory_mib": compared["memory"],
                }
            )
    return {
        "variant": f"{_ENGINE} {precision}",
        "chunk_ms": model.config.chunk_ms,
        "streamed_minutes": streamed,
        "mean_ms": round(1000 * statistics.mean(means), 3),
        "rows": rows,
        "checks": checks,
        "load_before": begin,
        "load_after": load_average(),
    }
