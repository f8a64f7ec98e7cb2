"""Programs of operations on a batch of streams: what hypothesis draws, and one with everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import torch

from streams import Stream
from tiny import noise

SLOTS = 3
Operation = tuple[Any, ...]

masks = st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS)
rows = st.integers(0, SLOTS - 1)
operations = st.one_of(
    st.tuples(st.just("step"), masks),
    st.tuples(st.just("step"), masks),
    st.tuples(st.just("step"), masks),
    st.tuples(st.just("finish"), masks),
    st.tuples(st.just("reset"), rows),
    st.tuples(st.just("fork"), rows, rows),
    st.tuples(st.just("move"), st.permutations(range(SLOTS))),
    st.tuples(st.just("save_and_load")),
)
programs = st.lists(operations, min_size=4, max_size=24)
variants = st.fixed_dictionaries(
    {
        "chunk_ms": st.sampled_from([80, 200, 400, 800, 1000]),
        "front_pad": st.sampled_from(["kernel-1", "kernel-stride"]),
        "lookahead_size": st.sampled_from([0, 3, "chunk"]),
        "window_size": st.sampled_from([5, 32]),
    }
)

# One of everything, with streams well past the window: what the broken variants below must trip over.
EVERYTHING: list[Operation] = [
    ("step", [True, False, True]),
    ("step", [True, True, True]),
    ("step", [True, True, True]),
    ("step", [False, True, True]),
    ("fork", 0, 2),
    ("move", [2, 0, 1]),
    ("step", [True, True, False]),
    ("save_and_load",),
    ("step", [True, True, True]),
    ("reset", 1),
    ("step", [True, True, True]),
    ("finish", [True, True, True]),
    ("step", [True, False, True]),
]


def recordings(chunk_samples: int, seed: int) -> Iterator[Stream]:
    """Recordings of 0 to 9 chunks, most of them with a ragged end."""
    generator = torch.Generator().manual_seed(seed)
    for index in range(10_000):
        samples = int(torch.randint(0, 9 * chunk_samples, (1,), generator=generator))
        yield Stream(noise(samples, seed=seed + index))
