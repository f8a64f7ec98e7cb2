"""What is kept of a job: numbers and words that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..scores import Score

Status = Literal["done", "failed"]


@dataclass(frozen=True)
class ScoreRecord:
    """A score on the test split.

    Attributes:
        metric: its name.
        unit: what it is measured in.
        higher_is_better: which way is up.
        value: None if it is not finite.
        low: lower end of the 95 % interval by bootstrap over the test units.
        high: upper end.
        units: number of utterances, trials or recordings.
    """

    metric: str
    unit: str
    higher_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    units: int

    @classmethod
    def of(cls, score: Score) -> ScoreRecord:
        """Return what is kept of a score."""
        low, high = score.interval()
        metric = score.metric
        return cls(
            metric.name,
            metric.unit,
            bool(metric.higher_is_better),
            _finite(score.value),
            _finite(low),
            _finite(high),
            len(score.units),
        )


@dataclass(frozen=True)
class JobRecord:
    """What came of a job.

    Attributes:
        key: of the job.
        task: S3PRL's name.
        upstream: of the features.
        heads: which kind.
        seed: of the training.
        rate: the learning rate that was tried, None for the config's own.
        checkpoint: digest of the upstream.
        config: digest of the experiment's config and its corpus.
        folder: where it ran, below the report's folder.
        status: whether it came to an end.
        reason: why it did not.
        scores: on the test split, the first is the one that counts.
        dev: the best score on the dev split, by what S3PRL keeps its best checkpoint by; None if not needed.
        layers: learned weight of each layer, adding up to 1; None for an upstream of one.
        seconds: what it took.
        versions: of what computed it, by name.
    """

    key: str
    task: str
    upstream: str
    heads: str
    seed: int
    rate: float | None
    checkpoint: str
    config: str
    folder: str
    status: Status
    reason: str = ""
    scores: tuple[ScoreRecord, ...] = ()
    dev: float | None = None
    layers: tuple[float, ...] | None = None
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether there are scores."""
        return self.status == "done"

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JobRecord:
        """Return the record that :meth:`to_json` gave.

        Raises:
            TypeError: the values are no record.
        """
        layers = values.get("layers")
        return cls(
            **{
                **values,
                "scores": tuple(ScoreRecord(**score) for score in values.get("scores", ())),
                "layers": tuple(layers) if layers is not None else None,
            }
        )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
