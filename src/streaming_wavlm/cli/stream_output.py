"""Where the features of a stream go: a file, lines of JSON, or nowhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import torch

from ..errors import OutputError
from ..feature_writer import FORMATS, FeatureWriter
from .stream_features import Chunk


class FeatureFile:
    """A file that is in its place once the stream has ended; a context manager.

    Args:
        path: ending in ``.safetensors`` or ``.npy``.
        shape: number of layers, width of a frame.
        dtype: ``"float32"`` or ``"float16"``.
        metadata: strings for its header.

    Raises:
        OutputError: the file could not be written.
    """

    def __init__(self, path: Path, shape: tuple[int, int], dtype: str, metadata: Mapping[str, str]) -> None:
        self._stack = ExitStack()
        kind = next((name for name in FORMATS if path.suffix == f".{name}"), None)
        if kind is None or path.is_dir():
            what = "a folder" if path.is_dir() else f"named {path.name!r}"
            raise OutputError(
                f"--out is a file ending in .safetensors or .npy, and {path} is {what}; give another name"
            )
        self._writer = FeatureWriter(path, kind, shape, getattr(torch, dtype), metadata)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._writer)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, chunk: Chunk) -> None:
        """Add a chunk.

        Raises:
            OutputError: the disk is full, or cannot be written.
        """
        self._writer.append(torch.from_numpy(np.array(chunk.array)))

    def commit(self) -> None:
        """Put the file in its place, unless it would be empty.

        Raises:
            OutputError: the disk is full, or cannot be written.
        """
        if self._writer.frames:
            self._writer.commit()


class JsonLines:
    """One JSON object a chunk on standard output.

    Args:
        pooled: add each layer's mean over the chunk's frames.
    """

    def __init__(self, pooled: bool) -> None:
        self._pooled = pooled

    def take(self, chunk: Chunk, dropped_seconds: float) -> None:
        """Print a chunk."""
        values = {
            "position": chunk.position,
            "frames": chunk.array.shape[1],
            "seconds": round(chunk.seconds, 4),
            "latency_ms": round(1000 * chunk.latency, 3),
            "dropped_seconds": round(dropped_seconds, 4),
        }
        if chunk.said:
            values["heads"] = list(chunk.said)
        if self._pooled:
            means = chunk.array.astype(np.float32).mean(axis=1)
            values["pooled"] = [[round(float(value), 6) for value in layer] for layer in means]
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()
