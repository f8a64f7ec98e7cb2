"""Whether an old stream costs more than a young one: two ages of one stream, stepped in turn."""

from __future__ import annotations

import resource
from typing import Any

import torch
from step import build
from timing import interleaved

AGES_MINUTES = (1, 60)


def measure(rounds: int) -> dict[str, Any]:
    """Stream an hour through ``mini`` and compare the cost of a chunk, and the memory, at each age.

    Args:
        rounds: measured rounds.

    Returns:
        Milliseconds per chunk at each age, their ratio, and memory growth between them in MiB.
    """
    model = build("mini")
    chunk = torch.randn(1, model.config.chunk_samples) * 0.1
    per_minute = 60_000 // model.config.chunk_ms
    state, states, memory = model.init_state(1), {}, {}
    with torch.inference_mode():
        for index in range(max(AGES_MINUTES) * per_minute):
            _, state = model.step(chunk, state)
            age = (index + 1) / per_minute
            if age in AGES_MINUTES:
                states[age] = state
                memory[age] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = interleaved(
            {str(age): lambda age=age: model.step(chunk, states[age]) for age in AGES_MINUTES}, rounds
        )
    young, old = (times[str(age)].median for age in AGES_MINUTES)
    return {
        "ages_minutes": list(AGES_MINUTES),
        "step_ms": [round(1000 * young, 2), round(1000 * old, 2)],
        "old_over_young": round(old / young, 3),
        "memory_growth_mib": round(memory[AGES_MINUTES[1]] - memory[AGES_MINUTES[0]], 1),
        "state_mib": round(states[AGES_MINUTES[1]].nbytes() / 2**20, 2),
    }
