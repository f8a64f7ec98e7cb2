"""The student as a checkpoint that ``sw.load`` reads, with its story."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import CONFIG_FILE, WEIGHTS_FILE
from ..errors import CheckpointError
from ..experiment import to_values
from ..model import StreamingWavLM
from .errors import TrainingError
from .recipe import Recipe
from .run_folder import writing_failed
from .settings import CheckpointSettings

PT_FILE = "student.pt"


def export_student(
    student: StreamingWavLM, folder: Path, provenance: Mapping[str, Any], settings: CheckpointSettings
) -> None:
    """Write a student, so that the folder holds the old one or the new one, whole.

    Should the process be killed while the two change places the folder is missing; the run then writes it
    again when it goes on.

    Args:
        student: any device and floating-point type; not changed.
        folder: where to.
        provenance: where its weights came from.
        settings: in which type, and whether as a ``.pt`` too.

    Raises:
        TrainingError: the folder cannot be written.
    """
    dtype = getattr(torch, settings.export_dtype)
    exported = copy.deepcopy(student).to("cpu", dtype).eval()
    exported.provenance = dict(provenance)
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        exported.save_pretrained(fresh)
        if settings.export_pt:
            state = {"student_state_dict": exported.state_dict(), "config": exported.config.to_dict()}
            torch.save(state, fresh / PT_FILE)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise writing_failed(folder, error) from error
    except CheckpointError as error:
        cause = error.__cause__
        raise (
            writing_failed(folder, cause) if isinstance(cause, OSError) else TrainingError(str(error))
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def exported_provenance(folder: Path) -> dict[str, Any]:
    """Return the provenance of the student in a folder; empty if there is none."""
    if not (folder / WEIGHTS_FILE).is_file():
        return {}
    try:
        told = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["provenance"]
    except (OSError, ValueError, KeyError):
        return {}
    return dict(told)


def provenance_of(
    recipe: Recipe, *, start: Mapping[str, Any], teachers: list[dict[str, Any]], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a student's weights come from, but for the step and how good it is; JSON-ready.

    Args:
        recipe: how it was made.
        start: the provenance of what it started from.
        teachers: what is to be said about each.
        data: what is to be said about the corpus.
    """
    return {
        "weights": "distilled",
        "recipe": to_values(recipe),
        "started_from": dict(start),
        "teachers": teachers,
        "data": dict(data),
        "software": {
            "streaming-wavlm": _version("streaming-wavlm"),
            "torch": torch.__version__,
            "commit": git_commit(Path(__file__).parent),
        },
    }


def git_commit(folder: Path) -> str | None:
    """Return the commit that a folder's repository stands at, marked if files differ; None without one."""
    git = shutil.which("git")
    if git is None:
        return None

    def asked(*words: str) -> str | None:
        command = [git, "-C", str(folder), *words]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (fixed words)
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = asked("rev-parse", "HEAD")
    if commit is None:
        return None
    # Installed packages may lie in a folder that some other repository ignores.
    if not asked("ls-files", str(folder / "export.py")):
        return None
    return f"{commit} (changed)" if asked("status", "--porcelain", "--", str(folder.parent)) else commit


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
