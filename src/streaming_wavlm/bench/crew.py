"""The candidates for one model: a process for each engine and precision that can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..config import StreamingWavLMConfig
from ..engines import ENGINES, PRECISIONS
from ..engines.available import EXPORTING, why_not
from ..errors import BenchError
from ..loading import EMBEDDED, load, random_model
from ..model import StreamingWavLM
from .process import CannotRunError, Worker
from .timing import take_turns

MODELS = ("mini", "large")
# Engines that export build a graph anew for each chunk size, half a minute of it at full size, and hold much
# memory: they are measured at one, and the fastest int8 at three.
_GRAPH_CHUNKS_MS: dict[str, tuple[int, ...]] = {"openvino int8": (200, 400, 1000)}
_ONE_CHUNK_MS = (400,)
#: What all others are compared with.
BASELINE = "eager fp32"


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: turns that every candidate has.
        threads: of every process; the library's own choice when None.
        folder: an empty folder for what the processes hand each other.
        say: told what is being done.
        engines: those to measure beside the eager one; all when None.
    """

    rounds: int
    threads: int | None
    folder: Path
    say: Callable[[str], None]
    engines: tuple[str, ...] | None = None

    def measures(self, engine: str) -> bool:
        """Return whether an engine is among those to measure."""
        return engine == "eager" or (engine != "auto" and (self.engines is None or engine in self.engines))


@dataclass(frozen=True)
class Model:
    """A model to measure.

    Attributes:
        name: ``"mini"``, the embedded checkpoint, or ``"large"``, the full size with random weights.
        source: what ``load`` takes.
        config: its config.
        refused: why an engine in a precision cannot run it here, by ``"<engine> <precision>"``.
    """

    name: str
    source: str
    config: StreamingWavLMConfig
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, settings: Settings) -> Model:
        """Return the model of a name; random weights are written to a file first."""
        if name == EMBEDDED:
            embedded = load(EMBEDDED)
            return cls(name, EMBEDDED, embedded.config, _refused(embedded))
        folder = settings.folder / name
        model = random_model(StreamingWavLMConfig.preset(name))
        if not folder.exists():
            model.save_pretrained(folder)
        return cls(name, str(folder), model.config, _refused(model))

    @property
    def full_size(self) -> bool:
        """Whether steps take long and states much memory, as in the large model."""
        return self.config.dim > 512

    @property
    def turn(self) -> dict[str, int]:
        """How many steps a turn takes: small models have more, for theirs are short."""
        return {"warm": 1, "measured": 2} if self.full_size else {"warm": 2, "measured": 5}


def _refused(model: StreamingWavLM) -> dict[str, str]:
    reasons = {
        f"{engine} {precision}": why_not(engine, precision, model)
        for engine in ENGINES
        for precision in PRECISIONS
    }
    return {name: str(reason) for name, reason in reasons.items() if reason is not None}


class _LostError(BenchError):
    """A candidate failed in its turn, and is out of the crew."""


class Crew:
    """The processes of one model, and the state that all go on from.

    Args:
        model: the model.
        settings: how to measure.

    Attributes:
        workers: by ``"<engine> <precision>"``; the baseline first.
        skipped: why the others cannot run here.
        failures: checks that failed because a candidate did.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.workers: dict[str, Worker] = {}
        self.skipped: dict[str, str] = {}
        self.failures: list[dict[str, Any]] = []
        self.state = str(settings.folder / f"{model.name}.state.safetensors")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            # In a process that then ends: what this takes would count among the memory of a candidate.
            engine, precision = BASELINE.split()
            with Worker(
                "engine", self.settings.threads, source=self.model.source, engine=engine, precision=precision
            ) as first:
                first.call("save_state", path=self.state)
            for engine in filter(self.settings.measures, ENGINES):
                for precision in PRECISIONS:
                    self._start(engine, precision)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def hire(self, kind: str, **arguments: Any) -> Worker:
        """Start another process, which ends with the others."""
        return self._stack.enter_context(Worker(kind, self.settings.threads, **arguments))

    def prepared(
        self, chunk_ms: int, batch: int = 1, among: tuple[str, ...] | None = None
    ) -> dict[str, Worker]:
        """Get candidates ready for a chunk size and a batch, and return those that can do it.

        One that fails is out of the crew, and among the :attr:`failures`.
        """
        ready = {}
        for name, worker in tuple(self.workers.items()):
            if among is not None and name not in among:
                continue
            what = f"{name}, {chunk_ms} ms, batch {batch}"
            try:
                worker.call("prepare", chunk_ms=chunk_ms, state=self.state, batch=batch)
                ready[name] = worker
            except CannotRunError as error:
                self.skipped[what] = str(error)
            except BenchError as error:
                self._lose(name, what, error)
        return ready

    def take_turns(
        self,
        names: Iterable[str],
        rounds: int,
        what: str,
        beside: Mapping[str, Callable[[], Any]] | None = None,
        **arguments: Any,
    ) -> dict[str, list[Any]]:
        """Let prepared candidates take turns, and others with them.

        One that fails is out of the crew, and among the :attr:`failures`; the rounds begin anew without it,
        for what was measured beside it was measured on a machine that was running out of something.

        Args:
            names: of the candidates; those no longer in the crew are passed over.
            rounds: how often each has its turn.
            what: is measured, for the failures.
            beside: turns of others, by name.
            **arguments: of a candidate's turn.

        Returns:
            name → what each of its turns returned.

        Raises:
            BenchError: the baseline failed, or one of the others beside the candidates.
        """
        while True:
            turns = {
                name: partial(self._turn, name, what, arguments) for name in names if name in self.workers
            }
            try:
                return take_turns({**turns, **(beside or {})}, rounds)
            except _LostError as error:
                self.settings.say(f"{self.model.name}: {error}; once more without it")

    def at(self, chunk_ms: int) -> tuple[str, ...]:
        """Return the candidates that the standard set measures at a chunk size; all if engines were named."""
        chosen = []
        for name in self.workers:
            engine = name.split()[0]
            few = engine in EXPORTING and self.settings.engines is None
            measured = _GRAPH_CHUNKS_MS.get(name, _ONE_CHUNK_MS)
            if few:
                why = f"each takes a graph of its own; --engines {engine} measures all"
                self.skipped[f"{name}, chunks but {', '.join(map(str, measured))} ms"] = why
            if not few or chunk_ms in measured:
                chosen.append(name)
        return tuple(chosen)

    def array(self, worker: Worker, method: str, **arguments: Any) -> NDArray[np.float32]:
        """Return the array that a process writes when told."""
        path = self.settings.folder / "array.npy"
        worker.call(method, path=str(path), **arguments)
        found: NDArray[np.float32] = np.load(path)
        path.unlink()
        return found

    def _turn(self, name: str, what: str, arguments: dict[str, Any]) -> Any:
        try:
            return self.workers[name].call("turn", **arguments)
        except BenchError as error:
            self._lose(name, f"{name}, {what}", error)
            raise _LostError(f"{name} failed in its turn") from error

    def _lose(self, name: str, what: str, error: BenchError) -> None:
        if name == BASELINE:
            raise error
        self.failures.append(
            {"what": f"{self.model.name}, {what}: it runs", "holds": False, "detail": str(error)}
        )
        self.workers.pop(name).close()

    def _start(self, engine: str, precision: str) -> None:
        name = f"{engine} {precision}"
        if name in self.model.refused:
            self.skipped[name] = self.model.refused[name]
            return
        large = self.model.full_size
        if large and precision == "fp32" and engine in EXPORTING and self.settings.engines is None:
            self.skipped[name] = f"its process takes some 4 GB; --engines {engine} measures it"
            return
        self.settings.say(f"{self.model.name}: starting {name}")
        try:
            self.workers[name] = self.hire(
                "engine", source=self.model.source, engine=engine, precision=precision
            )
        except CannotRunError as error:
            self.skipped[name] = str(error)
        except BenchError as error:
            if name == BASELINE:
                raise
            what = f"{self.model.name}, {name}: it can be made"
            self.failures.append({"what": what, "holds": False, "detail": str(error)})
