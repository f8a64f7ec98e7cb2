"""The curves of a run: JSON lines, TensorBoard, and Weights & Biases if wished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ..errors import MissingDependencyError
from .run_folder import write_json_line, write_text, writing_failed
from .wandb_run import wandb_run

TRAIN_FILE, VALIDATION_FILE = "train.jsonl", "validation.jsonl"


class Recorder:
    """Writes what a run tells about itself; what an interrupted run told past its last checkpoint is removed.

    Args:
        folder: the run's.
        step: steps done before.
        wandb: project to log to with Weights & Biases; none when None.
        config: what it is told about the run.
        measured: the last step whose measurement is known, ``step`` when None; what was told of later ones is
            removed too.

    Raises:
        MissingDependencyError: TensorBoard or, if it is wished, wandb is not installed.
        TrainingError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        wandb: str | None,
        config: Mapping[str, Any],
        measured: int | None = None,
    ) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self._told = False
        measured = step if measured is None else measured
        with ExitStack() as opened:
            try:
                for name, known in ((TRAIN_FILE, step), (VALIDATION_FILE, measured)):
                    _forget_after(folder / name, known)
                    self._files[name] = (folder / name).open("a", encoding="utf-8")
                    opened.callback(self._files[name].close)
                self._board = _tensorboard(folder / "tensorboard", step)
                opened.callback(self._board.close)
                self._wandb = wandb_run(wandb, folder, config) if wandb else None
            except OSError as error:
                raise writing_failed(folder, error) from error
            if self._wandb is not None:
                opened.callback(self._wandb.finish)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._told = self._told or error is not None  # what ends the run is not to be hidden by what follows
        self.close()

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers of the training after ``step`` steps; slashes may part their names."""
        self._write(
            TRAIN_FILE,
            step,
            {"step": step, **values},
            {f"train/{key}": value for key, value in values.items()},
        )

    def speed(self, step: int, hours_per_hour: float) -> None:
        """Record how fast it is, as a curve only: the one thing that differs from run to run."""
        with self._writing(self._folder):
            self._board.add_scalar("speed/hours_of_audio_per_hour", hours_per_hour, step)

    def validation(self, step: int, values: Mapping[str, Any], curves: Mapping[str, float]) -> None:
        """Record a measurement after ``step`` steps.

        Args:
            step: steps done.
            values: for the JSON line, nested as it likes.
            curves: numbers by name, for the curves.
        """
        self._write(VALIDATION_FILE, step, {"step": step, **values}, curves)

    def close(self) -> None:
        """Close the files, each whatever happens to the others.

        Raises:
            TrainingError: what was still to be written could not be, and no other error was raised before.
        """
        try:
            self._opened.close()
        except OSError as error:
            if not self._told:
                raise writing_failed(self._folder, error) from error

    def _write(self, file: str, step: int, line: Mapping[str, Any], curves: Mapping[str, float]) -> None:
        with self._writing(self._folder / file):
            write_json_line(self._files[file], line)
            for name, value in curves.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(curves), step=step)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._told = True
            raise writing_failed(path, error) from error


def _forget_after(path: Path, step: int) -> None:
    """Remove the lines of steps that will be done again, and one that was cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_text(path, "".join(kept))


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            'training writes its curves with tensorboard: pip install "streaming-wavlm[distill]"'
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)
