"""Checkpoints of a run: written whole, checked when read, the last few and the best kept."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..files import temporary_name
from .errors import ResumeError, TrainingError
from .run_folder import sync, write_text, writing_failed

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d+)\.pt")
_BLOCK = 2**20
FORMAT = "streaming_wavlm.training.v1"


class CheckpointStore:
    """The checkpoints of one run.

    A checkpoint ``step-N.pt`` appears when all of it is on the disk, after its digest ``step-N.sha256``; what
    a killed process leaves behind is called otherwise.

    Args:
        folder: where they are; made if missing.
        keep: how many of the last ones stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, rising."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*.pt"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, state: Mapping[str, Any], best: int | None = None) -> Path:
        """Write a checkpoint, then remove those that are no longer needed.

        Args:
            step: steps done.
            state: tensors and plain values.
            best: the step of the best checkpoint, which stays.

        Returns:
            The file.

        Raises:
            TrainingError: it cannot be written; those that were there are intact.
        """
        path = self._path(step)
        temporary = temporary_name(path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    torch.save({"format": FORMAT, "step": step, **state}, file)
                    sync(file)
                write_text(path.with_suffix(".sha256"), _digest(temporary))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:  # torch's writer hides the system's error behind its own
            raise writing_failed(path, _system_error(error)) from error
        self._prune(best)
        return path

    def latest(self, tidy: bool = True) -> int | None:
        """Return the step of the last checkpoint that is sound; None if there is no checkpoint at all.

        Args:
            tidy: put damaged ones after it aside under another name; not in the folder of another run, which
                may be at work there.

        Raises:
            ResumeError: there are checkpoints and none is sound.
        """
        steps = self.steps()
        for step in reversed(steps):
            problem = self._problem(step)
            if problem is None:
                return step
            path = self._path(step)
            logger.warning("the checkpoint %s is damaged (%s): going back to the one before", path, problem)
            if tidy:
                path.replace(path.with_name(f"{path.name}.damaged"))
        if steps:
            raise ResumeError(
                f"none of the {len(steps)} checkpoints in {self.folder} is sound; remove the run's folder "
                "to begin anew"
            )
        return None

    def load(self, step: int, device: torch.device) -> dict[str, Any]:
        """Read the checkpoint of a step.

        Args:
            step: one that :meth:`latest` named.
            device: where to put its tensors.
        """
        state: dict[str, Any] = torch.load(self._path(step), map_location=device, weights_only=True)
        return state

    def _problem(self, step: int) -> str | None:
        path = self._path(step)
        try:
            told = path.with_suffix(".sha256").read_text(encoding="utf-8").strip()
            if told != _digest(path):
                return "it is not what was written: its digest differs"
        except OSError as error:
            return str(error)
        try:
            form = torch.load(path, map_location="meta", mmap=True, weights_only=True)["format"]
        except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
            return f"it is no checkpoint: {error}"
        return None if form == FORMAT else f"it is of another version: {form!r}, expected {FORMAT!r}"

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"

    def _prune(self, best: int | None) -> None:
        for step in self.steps()[: -self._keep]:
            if step != best:
                self._path(step).unlink(missing_ok=True)
        kept = set(self.steps())
        for digest in self.folder.glob("step-*.sha256"):
            match = _NAME.fullmatch(digest.with_suffix(".pt").name)
            if match and int(match[1]) not in kept:
                digest.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _system_error(error: BaseException) -> OSError:
    """The system's error at the root of what torch's writer raised.

    Raises:
        TrainingError: there is none.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause
        cause = cause.__cause__ or cause.__context__
    raise TrainingError(f"the checkpoint cannot be written: {error}") from error
