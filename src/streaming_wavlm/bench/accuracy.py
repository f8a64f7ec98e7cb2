"""How far each precision is from the eager float32 features of real speech, layer by layer."""

from __future__ import annotations

from typing import Any

from .crew import BASELINE, Crew
from .equality import Equality

_SECONDS = {"mini": 60.0, "large": 20.0}


def measure(crew: Crew) -> dict[str, Any]:
    """Stream real speech from its beginning through every candidate.

    Returns:
        ``rows``, one for each candidate with the agreement of every layer, and the ``checks``.
    """
    seconds = _SECONDS[crew.model.name]
    rows, checks = [], []
    reference = None
    for name, worker in crew.workers.items():
        crew.settings.say(f"{crew.model.name}: features of {name}")
        features = crew.array(worker, "features", seconds=seconds)
        if name == BASELINE:
            reference = features
            continue
        assert reference is not None  # noqa: S101 - the baseline is the first
        equality = Equality.of(features, reference)
        rows.append(
            {"model": crew.model.name, "variant": name, "seconds": seconds, "equality": equality.to_dict()}
        )
        checks.append(
            {
                "what": f"{crew.model.name}, {seconds:g} s of real speech, {name} as {BASELINE}",
                "holds": equality.holds(name.split()[1]),
                "detail": f"largest relative error {max(equality.errors):.2g}, "
                f"lowest cosine {min(equality.cosines):.6f}",
            }
        )
    return {"rows": rows, "checks": checks}
