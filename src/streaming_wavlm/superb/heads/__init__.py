"""The heads of the SUPERB tasks, as published or causal.

SUPERB's own heads are bidirectional, or pool over the whole utterance: on a streaming encoder they are no
streaming system. ``use("causal", task, config)`` swaps what looks ahead, and leaves the rest as published:
the projection, the number of parameters (within a few percent), the loss, the optimiser. What a causal head
says after n frames depends on these n frames alone. Nothing of S3PRL's is edited: causal layers are further
names that its config can choose.
"""

from __future__ import annotations

from .choice import Kind, kind_of, use
from .install import installed
from .latency import latency_ms, median_frames
from .moments import Heard, heard, read_heard
from .running import decisions
from .wording import describe

__all__ = [
    "Heard",
    "Kind",
    "decisions",
    "describe",
    "heard",
    "installed",
    "kind_of",
    "latency_ms",
    "median_frames",
    "read_heard",
    "use",
]
