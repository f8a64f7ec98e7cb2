"""From a file to something that runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..errors import ExportError
from .exporting import FORMATS
from .metadata import Metadata
from .onnx_format import OnnxStep
from .openvino_format import OpenVINOStep
from .torch_format import TorchStep


class ExportedStep(Protocol):
    """An exported graph, ready to run.

    Attributes:
        metadata: what the file says of itself.
        state_type: floating-point type of the convolutions' contexts.
        window_type: floating-point type of keys and values.
    """

    metadata: Metadata
    state_type: torch.dtype
    window_type: torch.dtype

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one step: named tensors in, named tensors out."""


def open_exported(
    path: str | os.PathLike[str], *, threads: int | None = None, batch: int | None = None
) -> ExportedStep:
    """Open a file that :func:`~streaming_wavlm.export.export` wrote, in the runtime of its format.

    Args:
        path: the file.
        threads: processor threads; the runtime's choice when None. A ``.pt2`` file uses torch's.
        batch: the number of streams to compile for, where the file takes any.

    Raises:
        ExportError: there is no such file, or it is no export of this package.
        MissingDependencyError: the runtime is not installed.
    """
    source = Path(path)
    if not source.is_file():
        raise ExportError(f"there is no file {source}; write it with streaming-wavlm export")
    if source.suffix == ".onnx":
        return OnnxStep(source, threads)
    if source.suffix == ".xml":
        return OpenVINOStep(source, threads, batch)
    if source.suffix == ".pt2":
        return TorchStep(source)
    suffixes = ", ".join(kind.suffix for kind in FORMATS.values())
    raise ExportError(f"an exported file ends in {suffixes}, got {source.name}")
