"""What a comparison of a student and a teacher found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .settings import ChunkMs

Through = Literal["direct", "map"]


@dataclass(frozen=True)
class LayerPair:
    """Two layers that are compared.

    Attributes:
        student: number of the student's layer, from 1.
        teacher: number of the teacher's layer; 0 is the input of its first where that can be had.
    """

    student: int
    teacher: int

    def __str__(self) -> str:
        same = self.student == self.teacher
        return str(self.student) if same else f"{self.student}:{self.teacher}"


@dataclass(frozen=True)
class Place:
    """The errors of the frames at one place: so much future, or so long after the beginning.

    Attributes:
        start: where it begins: milliseconds of future, or seconds after the beginning.
        end: where it ends.
        frames: how many there were.
        errors: of each pair of layers.
    """

    start: float
    end: float
    frames: int
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """The error over all pairs: the root of the mean square."""
        return root_mean_square(self.errors)


@dataclass(frozen=True)
class ChunkResult:
    """What was found at one chunk size.

    Errors are relative to how much the teacher's frames vary about their mean: 0 is exact, 1 is no better
    than always saying the mean; their squares are 1 - R².

    Attributes:
        chunk: milliseconds, or ``"whole"``.
        errors: of each pair of layers.
        cosines: the mean cosine of a frame's prediction and its target, of each pair.
        by_future: the errors by how much future a frame sees; empty for ``"whole"``. Frames whose view is
            cut short by the end of the recording are left out.
        by_time: the errors by the time since the recording's beginning.
    """

    chunk: ChunkMs
    errors: tuple[float, ...]
    cosines: tuple[float, ...]
    by_future: tuple[Place, ...]
    by_time: tuple[Place, ...]

    @property
    def error(self) -> float:
        """The error over all pairs: the root of the mean square."""
        return root_mean_square(self.errors)


@dataclass(frozen=True)
class Comparison:
    """A student beside a teacher.

    Attributes:
        pairs: the layers compared.
        through: ``"direct"``, or ``"map"``: a linear map for each pair and chunk size, to channels of mean
            0 and variance 1, fitted on one half of the recordings; all errors are those of the other half.
        shift: teacher frames between those that are compared.
        recordings: how many were scored.
        seconds: of audio scored.
        chunks: what was found at each chunk size, in the order asked.
    """

    pairs: tuple[LayerPair, ...]
    through: Through
    shift: int
    recordings: int
    seconds: float
    chunks: tuple[ChunkResult, ...]

    def values(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {
            "through": self.through,
            "shift": self.shift,
            "recordings": self.recordings,
            "seconds": round(self.seconds, 3),
            "pairs": [{"student": pair.student, "teacher": pair.teacher} for pair in self.pairs],
            "chunks": {
                str(found.chunk): {
                    "error": found.error,
                    "errors": list(found.errors),
                    "cosines": list(found.cosines),
                    "by_future_ms": [_place(place) for place in found.by_future],
                    "by_seconds_since_the_beginning": [_place(place) for place in found.by_time],
                }
                for found in self.chunks
            },
        }


def root_mean_square(values: Sequence[float]) -> float:
    """Return the root of the mean square of some numbers."""
    return math.sqrt(sum(value * value for value in values) / len(values))


def _place(place: Place) -> dict[str, Any]:
    return {
        "from": place.start,
        "to": place.end,
        "frames": place.frames,
        "error": place.error,
        "errors": list(place.errors),
    }
