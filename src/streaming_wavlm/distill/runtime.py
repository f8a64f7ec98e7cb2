"""Devices, processes and precision: Lightning Fabric as a recipe asks for it."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch

from ..errors import ConfigError, MissingDependencyError
from .settings import Precision, RuntimeSettings

logger = logging.getLogger(__name__)


def build_fabric(runtime: RuntimeSettings) -> Any:
    """Return Fabric, not yet launched.

    Under ``torchrun`` the processes are those that it started, whatever the recipe says.

    Args:
        runtime: what the recipe says.

    Raises:
        MissingDependencyError: Lightning Fabric is not installed.
        ConfigError: the accelerator or devices cannot be had.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.utilities.exceptions import MisconfigurationException
    except ImportError as error:
        raise MissingDependencyError(
            'training needs Lightning Fabric: pip install "streaming-wavlm[distill]"'
        ) from error
    _quieten()
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    devices, nodes = runtime.devices, runtime.nodes
    if "LOCAL_WORLD_SIZE" in os.environ and "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = max(1, int(os.environ["WORLD_SIZE"]) // devices)
    strategy = "ddp" if runtime.strategy == "auto" and devices != 1 else runtime.strategy
    try:
        return Fabric(
            accelerator=runtime.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision_of(runtime),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"runtime: accelerator {runtime.accelerator!r} with devices {runtime.devices!r} cannot be had "
            f"here: {error}"
        ) from error


def precision_of(runtime: RuntimeSettings) -> Precision:
    """Return the precision of the student as Fabric calls it."""
    if runtime.precision != "auto":
        return runtime.precision
    return "bf16-mixed" if _gpu_with_bf16(runtime) else "32-true"


def teacher_dtype(runtime: RuntimeSettings) -> torch.dtype:
    """Return the floating-point type of the teachers' weights."""
    if runtime.teacher_dtype != "auto":
        dtype: torch.dtype = getattr(torch, runtime.teacher_dtype)
        return dtype
    return torch.bfloat16 if _gpu_with_bf16(runtime) else torch.float32


def _gpu_with_bf16(runtime: RuntimeSettings) -> bool:
    wanted = runtime.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    return wanted and torch.cuda.is_bf16_supported()


def _quieten() -> None:
    """Fabric announces itself; a recipe's user knows what was asked for."""
    for name in ("lightning_fabric", "lightning_fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
