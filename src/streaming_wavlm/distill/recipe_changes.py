"""What of a recipe may change when its run is continued."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..experiment import differences

# How long, what is written, where and on how many processes it computes. A step's batches (processes times
# accumulate) are compared with those of the checkpoint.
_FREE = (
    "out", "steps", "schedule.cooldown", "logging", "checkpoints", "limits", "runtime", "validation",
    "accumulate", "data.root", "data.workers",
)  # fmt: skip
# Where something lies: it may move, but not come or go. What a teacher is, the checkpoint tells.
_PLACES = ("teachers.*.source", "teachers.*.cache")
_SOURCE = "student.source"


def forbidden_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what a run cannot be continued with: dotted key → (before, now).

    Args:
        before: the recipe that it was begun with, as plain values.
        now: the recipe that is to go on.
    """
    return {
        key: values
        for key, values in differences(before, now).items()
        if not (_is_free(key) or _has_moved(key, *values) or _moved_along(key, before, now))
    }


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _has_moved(key: str, old: Any, new: Any) -> bool:
    is_place = any(fnmatch.fnmatchcase(key, place) for place in _PLACES)
    return is_place and isinstance(old, str) and isinstance(new, str)


def _moved_along(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the student's start lies beside the run as it did: the stages of a recipe move together."""
    if key != _SOURCE:
        return False
    places = [_beside(values) for values in (before, now)]
    return places[0] is not None and places[0] == places[1]


def _beside(values: Mapping[str, Any]) -> Path | None:
    source = values["student"]["source"]
    if source is None:
        return None
    parent, path = (Path(place).expanduser() for place in (Path(values["out"]).parent, source))
    return path.relative_to(parent) if path.is_relative_to(parent) else None
