"""The run loop: what is missing is trained and evaluated, and what fails does not stop the rest."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from ...errors import StreamingWavLMError, SuperbError
from .. import heads
from ..corpora import Prepared
from ..digests import experiment_digest
from ..feature_cache import FOLDER_VARIABLE, SIZE_VARIABLE
from ..run import TaskResult
from .estimate import seconds_left, words
from .ledger import Ledger
from .plan import FIRST_SEED, Group, Job, Request, overridden
from .records import JobRecord, ScoreRecord
from .search import best, dev_score
from .upstreams import Upstream, twins
from .versions import versions

logger = logging.getLogger(__name__)
_REASON_LINES = 15


class Progress(Protocol):
    """Is told how far it is."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show how far it is."""
        ...

    def say(self, message: str) -> None:
        """Show a message that stays."""
        ...


@dataclass(frozen=True)
class Tools:
    """What does the work; another one in tests.

    Attributes:
        prepare: lays out a corpus.
        run_task: trains and evaluates.
        layer_weights: reads the learned weights of the layers of a task from an experiment's folder.
    """

    prepare: Callable[[str, str, Path], Prepared]
    run_task: Callable[..., TaskResult]
    layer_weights: Callable[[str, Path], Any]


class Loop:
    """Runs the jobs of a report, one after the other or some side by side.

    Side by side each cell of the table has a thread. What they share belongs to the one whose turn it is, and
    a turn ends where a job runs.

    Args:
        request: what is asked for.
        upstreams: what is known of each.
        ledger: what is known so far; it is written after each job.
        tools: what does the work.
        progress: is told how far it is.
    """

    def __init__(
        self,
        request: Request,
        upstreams: Mapping[str, Upstream],
        ledger: Ledger,
        tools: Tools,
        progress: Progress,
    ) -> None:
        self.request = request
        self.upstreams = upstreams
        self.ledger = ledger
        self.tools = tools
        self.progress = progress
        # What the table shows: the jobs of each cell, those of its search that were not chosen left out.
        self.chosen: dict[Group, list[JobRecord]] = {}
        self.searched: dict[Group, list[JobRecord]] = {}
        # Of the experiment of each task that has a corpus.
        self._digests: dict[str, str] = {}
        # Tasks without a corpus, and why.
        self.unprepared: dict[str, str] = {}
        # Cells of a model that has a column already, under another name.
        named = twins(upstreams)
        self._twins = {
            group: replace(group, upstream=named[group.upstream])
            for group in request.groups()
            if group.upstream in named
        }
        self._waiting: list[Group] = [
            group
            for group in request.groups()
            for _ in range(request.jobs_per_group)
            if group not in self._twins
        ]
        self._total = len(self._waiting)
        self._turn = threading.Lock()
        self._stop = threading.Event()

    def run(self, after_group: Callable[[], object] = lambda: None) -> None:
        """Run what is missing.

        Args:
            after_group: is called when a cell of the table is complete.

        Raises:
            SuperbError: the results cannot be written.
        """
        configs = {task: self._prepare(task) for task in self.request.tasks}

        def fill(group: Group) -> None:
            with self._turn:
                config = configs[group.task]
                if config is not None:
                    self._run_group(group, config)
                    after_group()
                self._waiting = [waiting for waiting in self._waiting if waiting != group]

        with _features(self.request):
            for groups in self.request.rounds():
                self._each(fill, [group for group in groups if group not in self._twins])
        for group, other in self._twins.items():
            for found in (self.chosen, self.searched):
                if other in found:
                    found[group] = found[other]
        self._show("")

    def _each(self, fill: Callable[[Group], None], groups: list[Group]) -> None:
        if self.request.jobs == 1:
            for group in groups:
                fill(group)
            return
        with ThreadPoolExecutor(self.request.jobs) as pool:
            futures = [pool.submit(fill, group) for group in groups]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @contextmanager
    def _turn_over(self) -> Iterator[None]:
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()

    def _prepare(self, task: str) -> Path | None:
        """Prepare a task's corpus and return the experiment's config; None if that fails."""
        self._show(f"{task}: preparing its corpus")
        try:
            prepared = self.tools.prepare(task, self.request.source, self.request.out / "corpora" / task)
            self._digests[task] = experiment_digest(prepared.config)
        except Exception as error:  # one task's corpus is no reason to lose the others
            logger.debug("%s could not be prepared", task, exc_info=True)
            self.unprepared[task] = reason = _words(error)
            self.progress.say(f"{task} has no corpus: {reason}")
            return None
        corpora = dict(self.ledger.facts.get("corpora", {}))
        corpora[task] = {
            "counts": dict(prepared.counts),
            "skipped": dict(prepared.skipped),
            "chance": prepared.chance,
            "notes": list(prepared.notes),
            "causal_ms": self._causal_ms(task, prepared.config),
        }
        self.ledger.tell(corpora=corpora)
        return Path(prepared.config)

    def _causal_ms(self, task: str, config: Path) -> float | None:
        """Return what a causal head of the task adds to an upstream's latency."""
        if "causal" not in self.request.heads:
            return None
        said = yaml.safe_load(config.read_text(encoding="utf-8"))
        return heads.latency_ms(task, "causal", overridden(said, self.request.override))

    def _run_group(self, group: Group, config: Path) -> None:
        request = self.request
        digest = self.upstreams[group.upstream].digest
        job = Job(group, FIRST_SEED, dict(request.override), digest, self._digests[group.task])
        self.chosen[group] = []
        seeds = range(FIRST_SEED, FIRST_SEED + request.seeds)
        if request.rates:
            tried = [self._run_job(job.with_rate(rate), config) for rate in request.rates]
            self.searched[group] = tried
            winner = best(group.task, tried)
            if winner is None or winner.rate is None:
                self.chosen[group] = tried
                return
            # Its training with the first seed is one of the search.
            self.chosen[group] = [winner]
            job, seeds = job.with_rate(winner.rate), seeds[1:]
        self.chosen[group] += [self._run_job(replace(job, seed=seed), config) for seed in seeds]

    def _run_job(self, job: Job, config: Path) -> JobRecord:
        record = self.ledger.jobs.get(job.key)
        if record is None or not record.done:
            self._show(str(job))
            record = self._attempt(job, config)
            self.ledger.add(record)
        elif self.request.rates and record.dev is None:  # it was trained for a report without a search
            record = self._compared(record)
        if not record.done:
            self.progress.say(f"{job} failed: {record.reason.splitlines()[-1]}")
        self._waiting.remove(job.group)
        return record

    def _compared(self, record: JobRecord) -> JobRecord:
        """Return the record with its score on the dev split; as it is it stays for reports without."""
        try:
            found = replace(record, dev=dev_score(record.task, self.request.out / record.folder))
        except SuperbError as error:  # its folder may be gone
            return replace(record, status="failed", reason=_words(error))
        self.ledger.add(found)
        return found

    def _attempt(self, job: Job, config: Path) -> JobRecord:
        request, group = self.request, job.group
        ours = self.upstreams[group.upstream].ours
        folder = request.out / job.folder
        record = JobRecord(
            job.key, group.task, group.upstream, group.heads, job.seed, job.rate, job.checkpoint, job.config,
            job.folder.as_posix(), "failed", versions=versions(),
        )  # fmt: skip
        begin = time.perf_counter()
        try:
            with self._turn_over():
                result = self.tools.run_task(
                    group.task,
                    group.upstream,
                    config=config,
                    folder=folder,
                    ckpt=request.ckpt if ours else None,
                    model_config=request.model_config if ours else None,
                    override=dict(job.override) or None,
                    device=request.device,
                    heads=group.heads,
                    seed=job.seed,
                    threads=self._threads,
                    stop=self._stop if request.jobs > 1 else None,
                )
            return replace(
                record,
                status="done",
                scores=tuple(ScoreRecord.of(score) for score in result.scores),
                dev=dev_score(group.task, folder) if request.rates else None,
                layers=self._layers(group.task, folder),
                seconds=result.train_seconds + result.evaluate_seconds,
            )
        except Exception as error:  # one job is no reason to lose the others
            if self._stop.is_set():  # it did not fail, it was ended
                raise
            logger.debug("%s failed", job, exc_info=True)
            return replace(record, reason=_words(error), seconds=time.perf_counter() - begin)

    @property
    def _threads(self) -> int | None:
        if self.request.threads is None and self.request.jobs > 1:
            return max(1, (os.cpu_count() or 1) // self.request.jobs)
        return self.request.threads

    def _layers(self, task: str, folder: Path) -> tuple[float, ...] | None:
        try:
            weights = self.tools.layer_weights(task, folder)
        except SuperbError as error:  # an upstream of one layer, such as a filterbank, has none to weigh
            logger.debug("%s", error)
            return None
        return tuple(float(weight) for weight in weights)

    def _show(self, note: str) -> None:
        left = ""
        if self._waiting:
            seconds = seconds_left(self._waiting, self.ledger.jobs.values())
            left = words(None if seconds is None else seconds / self.request.jobs)
        done = self._total - len(self._waiting)
        self.progress.update(done, self._total, ", ".join(filter(None, (note, left))))


@contextmanager
def _features(request: Request) -> Iterator[None]:
    """Have the processes of the jobs keep features, and leave the environment as it was."""
    wanted = {}
    if request.features_gb > 0:
        wanted = {
            FOLDER_VARIABLE: str((request.out / "features").resolve()),
            SIZE_VARIABLE: f"{request.features_gb:g}",
        }
    before = {name: os.environ.pop(name, None) for name in (FOLDER_VARIABLE, SIZE_VARIABLE)}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _words(error: Exception) -> str:
    """Return why something failed: the end of what was said."""
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, StreamingWavLMError):
        text = f"{type(error).__name__}: {text}"
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) <= _REASON_LINES:
        return "\n".join(lines)
    return "\n".join([lines[0], "…", *lines[-_REASON_LINES + 2 :]])
