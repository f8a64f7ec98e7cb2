"""What S3PRL leaves in the folder of an experiment, read back."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from ..errors import SuperbError
from . import compat


def states(folder: Path) -> list[Path]:
    """Return an experiment's checkpoints, oldest first."""
    numbered = [
        (re.fullmatch(r"states-(\d+)\.ckpt", path.name), path) for path in folder.glob("states-*.ckpt")
    ]
    return [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]


def is_whole(path: Path) -> bool:
    """Tell whether a checkpoint was written to its end: S3PRL writes them in place, and may be killed."""
    return zipfile.is_zipfile(path)


def load_experiment(path: Path) -> dict[str, Any]:
    """Read an experiment's checkpoint.

    Args:
        path: the file, or the folder of the experiment, whose newest checkpoint is taken.

    Raises:
        SuperbError: there is none, or it is damaged.
    """
    if path.is_dir():
        found = states(path)
        if not found:
            raise SuperbError(f"{path} holds no experiment: no states-*.ckpt is in it; train one first")
        path = found[-1]
    if not path.is_file():
        raise SuperbError(f"there is no experiment {path}: -e takes the folder of one, or a .ckpt file in it")
    compat.allow_experiments()
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        saved["Args"], saved["Config"]
    except Exception as error:  # a damaged file fails in many ways
        raise SuperbError(f"{path} is no experiment of S3PRL's, or is damaged: {error}") from error
    return saved


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config that an experiment ran with last.

    Args:
        folder: of the experiment.

    Raises:
        SuperbError: nothing ran in it.
    """
    # S3PRL names each copy by the time at which a run began, the others by the file that was given.
    found = [path for path in folder.glob("config_*.yaml") if re.fullmatch(r"config_[\d-]+\.yaml", path.name)]
    for path in sorted(found, reverse=True):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(config, dict) and "runner" in config:
            return config
    raise SuperbError(f"{folder} holds no experiment: S3PRL's copy of its config is not there")


def layer_weights(folder: Path) -> NDArray[np.float64]:
    """Return how much each hidden state of the upstream counts for an experiment's head.

    Args:
        folder: of the experiment, or one checkpoint in it.

    Returns:
        ``[layers]``, positive, with sum 1.

    Raises:
        SuperbError: there is no checkpoint, or the upstream has one layer and there is nothing to weigh.
    """
    weights = load_experiment(folder).get("Featurizer", {}).get("weights")
    if weights is None:
        raise SuperbError(f"the upstream of {folder} has one layer, so no weights of layers were learned")
    softmaxed: NDArray[np.float64] = torch.softmax(weights.double(), dim=-1).numpy()
    return softmaxed
