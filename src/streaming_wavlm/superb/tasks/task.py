"""What this package knows of one of S3PRL's tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..scores import Metric, Score

# Where a corpus is looked for, from where the command is run, when nothing else is said.
DATA = Path("data")
Config = Mapping[str, Any]


def _nothing() -> None:
    return None


def _nothing_wrong(config: Config) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Task:
    """One of S3PRL's downstream tasks.

    Attributes:
        name: S3PRL's name, the value of ``-d``.
        short: SUPERB's abbreviation, such as ``SID``.
        title: in words.
        needs: what must exist before the task starts: the config key of each path, and what it is.
        metrics: what its scores measure, the most important first.
        read: reads the scores from the folder of an experiment that was evaluated; see :meth:`scores`.
        best: glob of the checkpoint that was best on the dev split.
        evaluate: what ``-m evaluate`` takes besides.
        outputs: globs of what an evaluation leaves behind, removed before the next one.
        causal: whether the published head hears nothing of the future.
        causality: why, in a sentence.
        aliases: other names of the task.
        isolate: mends what S3PRL's code would keep from one corpus to the next; called before a run.
        record: has S3PRL's code write the numbers of single utterances, which it does not by itself.
        examine: reads the corpus that a config points at and returns what is worth telling of it.
    """

    name: str
    short: str
    title: str
    needs: Mapping[str, str]
    metrics: tuple[Metric, ...]
    read: Callable[[Path], tuple[Score, ...]]
    best: str
    causal: bool
    causality: str
    evaluate: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("test_*",)
    aliases: tuple[str, ...] = ()
    isolate: Callable[[], None] = _nothing
    record: Callable[[], None] = _nothing
    examine: Callable[[Config], tuple[str, ...]] = _nothing_wrong

    @property
    def prepared(self) -> Path:
        """Where ``superb prepare`` puts the corpus unless told otherwise."""
        return DATA / self.name

    def scores(self, folder: Path) -> tuple[Score, ...]:
        """Return the scores on the test split, in the order of ``metrics``.

        Args:
            folder: of an experiment that was evaluated.

        Raises:
            SuperbError: it was not evaluated, or what the evaluation left is damaged.
        """
        return self.read(folder)

    def missing(self, config: Config) -> str | None:
        """Return what the config points at and is not there, with what to do; None when all is there.

        Args:
            config: the experiment's.
        """
        gone = []
        for key, what in self.needs.items():
            value = lookup(config, key)
            if not value or not Path(str(value)).exists():
                gone.append(f"{what} at {value or '(no path)'} (config.{key})")
        if not gone:
            return None
        options = ",,".join(f"config.{key}='...'" for key in self.needs)
        return (
            f"{self.name} does not find {' nor '.join(gone)}; point at yours with "
            f'-o "{options}", or lay out the speech embedded in this package with '
            f"`streaming-wavlm superb prepare {self.name} --from embedded --out {self.prepared}` "
            "and run the same command again"
        )


def lookup(config: Config, key: str) -> Any:
    """Return the value at a dotted key, None where a part of it is missing."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def assign(config: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key, in sections that are made where they are missing."""
    *parents, last = key.split(".")
    place = config
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
