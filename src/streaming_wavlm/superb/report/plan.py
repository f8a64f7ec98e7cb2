"""What a report is asked for, and the jobs that it comes to."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..tasks.recording import DEFAULT_SEED
from ..tasks.task import assign

Heads = Literal["published", "causal"]
HEADS: tuple[Heads, ...] = ("published", "causal")
# S3PRL's own seed comes first, so that one seed gives what `superb run` gives.
FIRST_SEED = DEFAULT_SEED
# The powers of ten that SUPERB allows and that heads of these tasks train with.
RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
RATE_KEY = "config.optimizer.lr"


@dataclass(frozen=True)
class Request:
    """What a report is asked for.

    Attributes:
        tasks: S3PRL's names, in the order of the rows.
        upstreams: in the order of the columns; ours, or S3PRL's own.
        source: of the corpora, as ``superb prepare --from`` takes it.
        out: the folder of everything.
        ckpt: the checkpoint of our upstreams.
        model_config: what it does not say of its architecture.
        seeds: trainings of each task on each upstream.
        rates: learning rates to try with the first seed; the config's own when empty.
        heads: which heads.
        override: config values to change in every task, over what the corpora's configs say.
        features_gb: the most that the cache of features may take [GB]; no cache when 0.
        threads: of each process; what torch decides when None, its share of the cores beside other jobs.
        jobs: how many trainings side by side.
        device: where to compute; CUDA if there is one, when None.
        command: the command line that asked, to be printed.
    """

    tasks: tuple[str, ...]
    upstreams: tuple[str, ...]
    source: str
    out: Path
    ckpt: str | None = None
    model_config: str | None = None
    seeds: int = 1
    rates: tuple[float, ...] = ()
    heads: tuple[Heads, ...] = ("published",)
    override: Mapping[str, Any] = field(default_factory=dict)
    features_gb: float = 20.0
    threads: int | None = None
    jobs: int = 1
    device: str | None = None
    command: str = ""

    def groups(self) -> Iterator[Group]:
        """Yield what is trained, task by task."""
        for task in self.tasks:
            for upstream in self.upstreams:
                for heads in self.heads:
                    yield Group(task, upstream, heads)

    def rounds(self) -> list[list[Group]]:
        """Return the groups that may be trained side by side, round by round.

        The first of a task is over before the others begin: it makes the lists of files that all of them use.
        """
        groups = list(self.groups())
        if self.jobs == 1:
            return [groups]
        firsts = {group.task: group for group in reversed(groups)}
        return [
            [group for group in groups if firsts[group.task] == group],
            [group for group in groups if firsts[group.task] != group],
        ]

    @property
    def jobs_per_group(self) -> int:
        """How many trainings a group takes: the first seed's with the chosen rate is one of the search's."""
        return self.seeds + max(len(self.rates) - 1, 0)


@dataclass(frozen=True)
class Group:
    """A cell of the table: a task on an upstream with one kind of heads."""

    task: str
    upstream: str
    heads: Heads


@dataclass(frozen=True)
class Job:
    """One training and its evaluation.

    Attributes:
        group: the cell that it counts for.
        seed: of the head and of the order of the data.
        override: config values that are changed, the learning rate included where one is tried.
        checkpoint: digest of the upstream's weights and config.
        config: digest of the experiment's config and its corpus.
    """

    group: Group
    seed: int
    override: Mapping[str, Any]
    checkpoint: str
    config: str

    @property
    def rate(self) -> float | None:
        """The learning rate that is tried, if it is not the config's own."""
        given = self.override.get(RATE_KEY)
        return float(given) if given is not None else None

    @property
    def key(self) -> str:
        """What two jobs share exactly when the one's result is the other's."""
        facts = [
            self.group.task, self.group.upstream, self.group.heads, self.seed, self.checkpoint, self.config,
            sorted((key, repr(value)) for key, value in self.override.items()),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Where it runs, below the report's folder."""
        group = self.group
        return Path("jobs", group.task, f"{group.upstream}-{group.heads}-{self.seed}-{self.key}")

    def with_rate(self, rate: float) -> Job:
        """Return the job with another learning rate."""
        return replace(self, override={**self.override, RATE_KEY: rate})

    def __str__(self) -> str:
        parts = [self.group.task, self.group.upstream]
        parts += ["causal heads"] if self.group.heads == "causal" else []
        parts += [f"seed {self.seed}"]
        parts += [f"lr {self.rate:g}"] if self.rate is not None else []
        return ", ".join(parts)


def overridden(config: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with values changed, as S3PRL changes them.

    Args:
        config: of an experiment.
        override: values by dotted keys that begin with ``config``.
    """
    changed = copy.deepcopy(dict(config))
    for key, value in override.items():
        first, _, rest = key.partition(".")
        if first == "config":
            assign(changed, rest, value)
    return changed
