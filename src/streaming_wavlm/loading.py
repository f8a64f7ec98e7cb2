"""``streaming_wavlm.load``: a model from whatever names a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, overload

import torch

from .checkpoint import WEIGHTS_FILE, Checkpoint, locate, read_checkpoint
from .config import StreamingWavLMConfig
from .config_file import ConfigSource
from .errors import CheckpointNotFoundError, ConfigError
from .hub import Device, DType, build_model
from .model import StreamingWavLM
from .streaming import Streaming

EMBEDDED = "mini"
EMBEDDED_FOLDER = Path(__file__).parent / "assets" / "mini"


@overload
def load(
    source: str | os.PathLike[str],
    *,
    config: ConfigSource | None = None,
    chunk_ms: int | None = None,
    device: Device = None,
    dtype: DType = None,
    engine: Literal["eager"] = "eager",
    precision: Literal["fp32"] = "fp32",
    threads: int | None = None,
) -> StreamingWavLM: ...


@overload
def load(
    source: str | os.PathLike[str],
    *,
    config: ConfigSource | None = None,
    chunk_ms: int | None = None,
    device: Device = None,
    dtype: DType = None,
    engine: str,
    precision: str = "fp32",
    threads: int | None = None,
) -> Streaming[Any]: ...


def load(
    source: str | os.PathLike[str],
    *,
    config: ConfigSource | None = None,
    chunk_ms: int | None = None,
    device: Device = None,
    dtype: DType = None,
    engine: str = "eager",
    precision: str = "fp32",
    threads: int | None = None,
) -> Streaming[Any]:
    """Load a model, in eval mode.

    The architecture is read off the tensors; what they cannot tell comes from ``config``, from the
    checkpoint's own config, or takes the documented default, and ``model.defaults`` names what did.

    Args:
        source: path of a ``.pt`` or ``.safetensors`` file or of a folder, a hub id ``owner/name``, or
            ``"mini"`` for the checkpoint that comes with the package (``"./mini"`` is a folder of that name).
        config: path of a YAML or JSON file, a dict or a config; what it gives goes over what the checkpoint
            states, and may not contradict the tensors.
        chunk_ms: audio that one step processes, in milliseconds, a multiple of 20; over what ``config`` says.
        device: where to put the weights; the CPU when None.
        dtype: floating-point type of the weights; float32 when None.
        engine: how it runs. ``"eager"`` is the model's own modules, which also train and fine-tune;
            ``"packed"`` is the same arithmetic laid out for streaming on a CPU; ``"auto"`` is the fastest
            here, measured once and remembered.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``; see :mod:`streaming_wavlm.engines`.
        threads: of torch, in this whole process; left as it is when None.

    Returns:
        A :class:`StreamingWavLM`, or an engine with the same steps, states and whole passes.

    Raises:
        CheckpointNotFoundError: there is no such file or folder, nor is it on the hub.
        CheckpointCorruptError: the file is empty, cut short, damaged or no checkpoint.
        UnsafeCheckpointError: reading the file would run code that it carries.
        CheckpointMismatchError: tensors are missing, unexpected or misshapen, or the config contradicts them.
        UnsupportedCheckpointError: it is another model's, or of a newer version of this package.
        ConfigError: a config field is unknown or out of range, or the device or type cannot be had.
        EngineError: there is no such engine or precision, or it cannot run here.
        MissingDependencyError: the engine's library is not installed.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"threads must be a number from 1, got {threads}")
        torch.set_num_threads(threads)
    checkpoint = _embedded() if source == EMBEDDED else read_checkpoint(locate(source))
    model = build_model(
        StreamingWavLM, checkpoint, config=config, chunk_ms=chunk_ms, device=device, dtype=dtype
    )
    if (engine, precision) == ("eager", "fp32"):
        return model
    from .engines import give_back_memory, make_engine

    made = make_engine(model, engine, precision)
    del model, checkpoint
    give_back_memory()
    return made


def random_model(config: StreamingWavLMConfig, seed: int = 0) -> StreamingWavLM:
    """Return a model with random weights, in eval mode; the random number generators are not touched.

    Args:
        config: the architecture.
        seed: the same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        model = StreamingWavLM(config)
    model.provenance = {"weights": "random", "seed": seed}
    return model.eval()


def _embedded() -> Checkpoint:
    """Return the checkpoint that comes with the package."""
    if not (EMBEDDED_FOLDER / WEIGHTS_FILE).is_file():
        raise CheckpointNotFoundError(
            f"the package is installed without the checkpoint {EMBEDDED!r}: there is no "
            f"{EMBEDDED_FOLDER / WEIGHTS_FILE}; install it whole, or give the path of another checkpoint"
        )
    return read_checkpoint(EMBEDDED_FOLDER)
