"""Devices, processes and precision: Lightning Fabric as a recipe asks for it."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch

from ..errors import ConfigError, MissingDependencyError
from .settings import Precision, RuntimeSettings

logger = logging.getLogger(__name__)

_SHARDED_PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")


def build_fabric(runtime: RuntimeSettings) -> Any:
    """Return Fabric, not yet launched.

    Under ``torchrun`` and ``fabric run`` the processes are those that it started, whatever the recipe says.

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
    strategy: Any = "ddp" if runtime.strategy == "auto" and devices != 1 else runtime.strategy
    if strategy == "fsdp":
        strategy = sharding(runtime, devices, nodes)
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


def launch(fabric: Any) -> None:
    """Start the other processes, or meet those that ``torchrun`` has started.

    Under ``fabric run`` they have met already: Fabric refuses to be launched again there.

    Args:
        fabric: as :func:`build_fabric` gives it.
    """
    if os.environ.get("LT_CLI_USED", "0") == "0":
        fabric.launch()


def sharding(runtime: RuntimeSettings, devices: int | str, nodes: int) -> Any:
    """Return the strategy that shards a task over all processes, layer by layer of the student (FSDP2).

    Args:
        runtime: what the recipe says.
        devices: on each machine, or ``"auto"``.
        nodes: machines.

    Raises:
        ConfigError: there is one process only, the precision or accelerator cannot be sharded, or torch is
            too old.
    """
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise ConfigError(
            f"runtime: strategy 'fsdp' needs torch 2.6, this is {torch.__version__}; use strategy: ddp"
        ) from error
    if devices == "auto":
        devices = 0 if runtime.accelerator == "cpu" else torch.cuda.device_count()
    processes = int(devices) * nodes
    if processes < 2 or runtime.accelerator == "mps":
        raise ConfigError(
            f"runtime: strategy 'fsdp' shards over several CUDA devices (or CPU processes); there are "
            f"{processes} of accelerator {runtime.accelerator!r}; give devices, or strategy: auto"
        )
    if precision_of(runtime) not in _SHARDED_PRECISIONS:
        raise ConfigError(
            f"runtime: strategy 'fsdp' computes in {' or '.join(_SHARDED_PRECISIONS)}, "
            f"got {runtime.precision!r}"
        )

    def shard(task: Any, mesh: Any) -> Any:
        for layer in task.student.encoder.layers:
            fully_shard(layer, mesh=mesh["data_parallel"])
        return fully_shard(task, mesh=mesh["data_parallel"])

    return ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1)


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
