"""A run as Weights & Biases knows it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import MissingDependencyError
from .run_folder import write_text

ID_FILE = "wandb_id"
# What Weights & Biases itself writes into the run's folder.
_OWN_FOLDER = "wandb"


def wandb_run(project: str, folder: Path, config: Mapping[str, Any]) -> Any:
    """Begin or continue to log a run.

    Args:
        project: to log to.
        folder: the run's; it remembers under which id it is logged.
        config: what is told about the run.

    Raises:
        MissingDependencyError: wandb is not installed.
        OSError: the folder cannot be written.
    """
    try:
        import wandb  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            'logging.wandb needs Weights & Biases: pip install "streaming-wavlm[wandb]", or leave it out'
        ) from error
    path = folder.absolute()
    return wandb.init(
        project=project,
        name=f"{path.parent.name}/{path.name}",
        id=_id(path),
        resume="allow",
        dir=str(folder),
        config=dict(config),
    )


def _id(folder: Path) -> str:
    """The id of a run, its own for ever: stages of two recipes are called the same."""
    file = folder / ID_FILE
    if not file.exists():
        # Runs of old versions were logged under their folder's name, and go on so.
        write_text(file, folder.name if (folder / _OWN_FOLDER).is_dir() else secrets.token_hex(8))
    return file.read_text(encoding="utf-8").strip()
