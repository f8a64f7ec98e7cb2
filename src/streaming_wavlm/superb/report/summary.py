"""The cells of the table: what the seeds of a task on an upstream came to."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .loop import Loop
from .plan import Group, Heads
from .records import JobRecord
from .upstreams import Upstream


@dataclass(frozen=True)
class Mean:
    """A score over the seeds.

    Attributes:
        metric: its name.
        unit: what it is measured in.
        higher_is_better: which way is up.
        value: mean over the seeds; None if one of them is no number.
        low: mean of the lower ends of the seeds' intervals.
        high: mean of the upper ends.
        spread: standard deviation over the seeds; None for a single one.
        units: utterances, trials or recordings that each seed was tested on.
    """

    metric: str
    unit: str
    higher_is_better: bool
    value: float | None
    low: float | None
    high: float | None
    spread: float | None
    units: int


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        scores: the first is the one that counts; empty if no seed came to an end.
        seeds: how many did.
        failed: the records of those that did not.
        rate: the learning rate, where it was searched for.
        layers: mean over the seeds of the learned weight of each layer.
        versions: of what computed each seed.
    """

    scores: tuple[Mean, ...]
    seeds: int
    failed: tuple[JobRecord, ...]
    rate: float | None
    layers: tuple[float, ...] | None
    versions: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of the table: an upstream with one kind of heads."""

    upstream: Upstream
    heads: Heads


@dataclass(frozen=True)
class Summary:
    """All that the table and the pictures show.

    Attributes:
        tasks: the rows.
        columns: those of the published heads first.
        cells: what is there.
        searched: the trainings of each learning-rate search.
        unprepared: tasks without a corpus, and why.
        chance: the accuracy of guessing, as a share, where it is known.
        causal_ms: what the causal head of a task adds to an upstream's latency, where there are such.
    """

    tasks: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, Column], Cell]
    searched: Mapping[tuple[str, Column], Sequence[JobRecord]]
    unprepared: Mapping[str, str]
    chance: Mapping[str, float]
    causal_ms: Mapping[str, float] = field(default_factory=dict)

    def latency_ms(self, task: str, column: Column) -> float | None:
        """Return the latency of a cell: the upstream's, and with a causal head what that adds."""
        own = column.upstream.latency_ms
        return own if own is None or column.heads != "causal" else own + self.causal_ms.get(task, 0.0)

    @property
    def failures(self) -> list[JobRecord]:
        """The jobs that did not come to an end, those of a search and of two names of a model once."""
        failed = [record for cell in self.cells.values() for record in cell.failed]
        failed += [record for tried in self.searched.values() for record in tried if not record.done]
        return list({record.key: record for record in failed}.values())

    def head(self, task: str) -> tuple[Mean, ...]:
        """Return the scores of any cell of a row, which say what its metrics are; () if none is there."""
        cells = (self.cells.get((task, column)) for column in self.columns)
        return next((cell.scores for cell in cells if cell and cell.scores), ())

    def guessing(self, task: str) -> float | None:
        """Return the first score of a row that guessing gets, in its unit; None where it is not known."""
        share, head = self.chance.get(task), self.head(task)
        if share is None or not head:
            return None
        return 100 * share if head[0].unit == "%" else share

    def best(self, task: str, metric: int, heads: Heads) -> float | None:
        """Return the best value of a row among the columns of one kind of heads."""
        found = [
            cell.scores[metric]
            for column in self.columns
            if column.heads == heads and (cell := self.cells.get((task, column))) and cell.scores
        ]
        values = [score.value for score in found if score.value is not None]
        if not values:
            return None
        return max(values) if found[0].higher_is_better else min(values)


def summarise(loop: Loop) -> Summary:
    """Return what a loop has found so far."""
    request = loop.request
    columns = tuple(
        Column(loop.upstreams[name], heads) for heads in request.heads for name in request.upstreams
    )
    groups = {
        (task, column): Group(task, column.upstream.name, column.heads)
        for task in request.tasks
        for column in columns
    }
    corpora = loop.ledger.facts.get("corpora", {})
    chance = {task: corpora.get(task, {}).get("chance") for task in request.tasks}
    causal = {task: corpora.get(task, {}).get("causal_ms") for task in request.tasks}
    return Summary(
        request.tasks,
        columns,
        {
            place: cell(loop.chosen[group], bool(request.rates))
            for place, group in groups.items()
            if group in loop.chosen
        },
        {place: loop.searched[group] for place, group in groups.items() if group in loop.searched},
        dict(loop.unprepared),
        {task: float(value) for task, value in chance.items() if value is not None},
        {task: float(value) for task, value in causal.items() if value is not None},
    )


def cell(records: Sequence[JobRecord], searched: bool = False) -> Cell:
    """Return the cell of some seeds.

    Args:
        records: of the jobs.
        searched: whether their learning rate was searched for.
    """
    done = [record for record in records if record.done]
    layers = [record.layers for record in done if record.layers is not None]
    return Cell(
        tuple(_mean(record.scores[i] for record in done) for i in range(len(done[0].scores))) if done else (),
        len(done),
        tuple(record for record in records if not record.done),
        done[0].rate if done and searched else None,
        tuple(statistics.fmean(layer) for layer in zip(*layers, strict=True)) if layers else None,
        tuple(record.versions for record in done),
    )


def _mean(scores: Iterable) -> Mean:  # type: ignore[type-arg]
    found = list(scores)
    first = found[0]
    values = [score.value for score in found]
    known = None not in values
    return Mean(
        first.metric,
        first.unit,
        first.higher_is_better,
        _over(values),
        _over([score.low for score in found]),
        _over([score.high for score in found]),
        statistics.stdev(values) if known and len(values) > 1 else None,
        first.units,
    )


def _over(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
