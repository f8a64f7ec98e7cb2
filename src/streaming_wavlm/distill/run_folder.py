"""The folder of a run: one recipe, one process group at a time, files that are whole or not there."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from ..experiment import to_values, to_yaml
from ..files import locked, replacing, sweep
from .errors import ResumeError, TrainingError
from .recipe import Recipe
from .recipe_changes import forbidden_changes

logger = logging.getLogger(__name__)

RECIPE_FILE = "recipe.yaml"
LOCK_FILE = "lock"


class RunFolder:
    """A run's folder, held by one run at a time.

    Args:
        path: the folder; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def open(self, recipe: Recipe) -> None:
        """Take hold of the folder, tidy it, and write the recipe into it or compare it with the one there.

        Raises:
            ResumeError: another recipe's run is in the folder, or it runs right now.
            TrainingError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take()
            sweep(self.path)
            file = self.path / RECIPE_FILE
            if file.exists():
                self._compare(yaml.safe_load(file.read_text(encoding="utf-8")), recipe)
            write_text(file, to_yaml(recipe))
        except OSError as error:
            self.close()
            raise writing_failed(self.path, error) from error
        except ResumeError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take(self) -> None:
        try:
            self._lock = locked(self.path / LOCK_FILE)
        except BlockingIOError as error:
            raise ResumeError(
                f"another run is at work in {self.path}; wait for it, or give another out"
            ) from error

    def _compare(self, before: Any, recipe: Recipe) -> None:
        changed = forbidden_changes(before, to_values(recipe))
        if changed:
            lines = "\n".join(f"  {key}: {old!r} → {new!r}" for key, (old, new) in changed.items())
            raise ResumeError(
                f"{self.path} holds a run of another recipe; what differs (before → now):\n{lines}\n"
                "go on with the recipe it was begun with, or give another out"
            )


def write_text(path: Path, text: str) -> None:
    """Put a text file in its place, whole."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        sync(file)


def write_json_line(file: IO[str], values: Mapping[str, Any]) -> None:
    """Append one line of JSON and hand it to the system."""
    file.write(json.dumps(dict(values)) + "\n")
    file.flush()


def sync(file: IO[Any]) -> None:
    """Wait until a file is on the disk: a name must never point to what a power cut takes away."""
    file.flush()
    os.fsync(file.fileno())


def writing_failed(path: Path, error: OSError) -> TrainingError:
    """Return the error to raise when something in the run's folder could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free / 2**20
        return TrainingError(
            f"the disk is full: {path} could not be written ({free:.0f} MiB free); the last checkpoint is "
            "intact; free some space and give the same command to go on"
        )
    return TrainingError(f"{path} could not be written: {error.strerror or error}")
