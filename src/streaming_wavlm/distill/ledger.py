"""What a run remembers beside its weights: counts, the best so far, and the curve's current point."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import TrainingError
from .settings import LimitSettings

logger = logging.getLogger(__name__)

_ENOUGH_TO_JUDGE = 200


@dataclass
class Ledger:
    """The counts of a run; all processes have the same.

    Attributes:
        step: steps done.
        seconds: of audio learnt from.
        seen: recordings asked for.
        bad: of these, how many could not be read.
        skipped: steps whose loss or gradient was NaN or infinite.
        skipped_in_a_row: the last ones of these without another between.
        best_score: the lowest of the validations so far.
        best_step: when that was.
        validation: what the last validation found.
        unmeasured: whether the validation that is due after these steps is still to be done.
        window: sums over the steps since the curve's last point.
        window_steps: how many steps these are.
    """

    step: int = 0
    seconds: float = 0.0
    seen: int = 0
    bad: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best_score: float | None = None
    best_step: int | None = None
    validation: dict[str, Any] | None = None
    unmeasured: bool = False
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Ledger:
        """Return the ledger that :meth:`state` described."""
        return cls(**state)

    def count_data(self, seen: int, bad: int, seconds: float, max_bad_share: float) -> None:
        """Count recordings.

        Raises:
            TrainingError: too many could not be read.
        """
        self.seen += seen
        self.bad += bad
        self.seconds += seconds
        if self.seen >= _ENOUGH_TO_JUDGE and self.bad > max_bad_share * self.seen:
            raise TrainingError(
                f"{self.bad} of {self.seen} recordings could not be read, more than data.max_bad_share "
                f"({max_bad_share:g}) allows; the log names them: repair or remove them, or raise the limit"
            )

    def count_step(self, finite: bool, limits: LimitSettings) -> None:
        """Count a step, done or skipped.

        Raises:
            TrainingError: too many were skipped.
        """
        self.step += 1
        if finite:
            self.skipped_in_a_row = 0
            return
        self.skipped += 1
        self.skipped_in_a_row += 1
        logger.warning("step %d is skipped: its loss or gradient is NaN or infinite", self.step)
        if self.skipped_in_a_row > limits.skipped_in_a_row or self.skipped > limits.skipped:
            raise TrainingError(
                f"{self.skipped_in_a_row} steps in a row and {self.skipped} in all had a NaN or infinite "
                f"loss or gradient, more than limits allow ({limits.skipped_in_a_row} and "
                f"{limits.skipped}); the last checkpoint is good; lower optimiser.lr, lengthen "
                "schedule.warmup, or use runtime.precision: 32-true, in another out"
            )

    def add(self, values: Mapping[str, float]) -> None:
        """Add a step's numbers to the curve's current point."""
        for name, value in values.items():
            self.window[name] = self.window.get(name, 0.0) + value
        self.window_steps += 1

    def take_point(self) -> dict[str, float]:
        """Return the means over the steps since the last point, and begin a new one."""
        point = {name: total / self.window_steps for name, total in self.window.items()}
        self.window, self.window_steps = {}, 0
        return point

    def is_best(self, score: float) -> bool:
        """Note the score of a validation; return whether it is the lowest so far."""
        if not math.isfinite(score) or (self.best_score is not None and score >= self.best_score):
            return False
        self.best_score, self.best_step = score, self.step
        return True
