"""Feature files written piece by piece in bounded memory, and visible only once they are complete."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, OutputError
from .files import temporary_name

FileFormat = Literal["safetensors", "npy"]
FORMATS: tuple[FileFormat, ...] = ("safetensors", "npy")
TENSOR_NAME = "hidden_states"

# What may stay in memory of a file under way; the rest waits on disk.
_MEMORY_BYTES = 64 * 2**20
_SAFETENSORS_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
_NUMPY_TYPES = {torch.float64: "<f8", torch.float32: "<f4", torch.float16: "<f2"}


class FeatureWriter:
    """Writes one array ``[layers, frames, dim]`` whose number of frames is known only at the end.

    The file holds one layer after another, so each layer is collected apart and they are joined by
    :meth:`commit`. Leaving the ``with`` block without it leaves no trace.

    Args:
        path: the file to write; its folder is made.
        file_format: ``"safetensors"`` (one tensor, ``hidden_states``) or ``"npy"``.
        shape: number of layers, width of a frame.
        dtype: floating-point type to store.
        metadata: strings for the header of a safetensors file; ``npy`` has no room for them.

    Raises:
        InputError: the format or type is unknown, or ``npy`` is to hold bfloat16.
        OutputError: the folder cannot be made.
    """

    def __init__(
        self,
        path: Path,
        file_format: FileFormat,
        shape: tuple[int, int],
        dtype: torch.dtype,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        check_storage(file_format, dtype)
        self._path = path
        self._partial = temporary_name(path)  # its own: another run may be writing the same file
        self._format = file_format
        layers, self._dim = shape
        self._dtype = dtype
        # A file name of other bytes than UTF-8 has characters that no JSON reader takes back.
        self._metadata = {
            key: value.encode("utf-8", "backslashreplace").decode() for key, value in (metadata or {}).items()
        }
        self._frames = 0
        self._stack = ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise writing_failed(path, error) from error
        self._spools: list[IO[bytes]] = [
            self._stack.enter_context(
                tempfile.SpooledTemporaryFile(_MEMORY_BYTES // layers, dir=os.fspath(path.parent))  # noqa: SIM115
            )
            for _ in range(layers)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    @property
    def frames(self) -> int:
        """Frames taken so far."""
        return self._frames

    def append(self, features: Tensor) -> None:
        """Add frames.

        Args:
            features: ``[layers, frames, dim]``.

        Raises:
            OutputError: the disk is full, or cannot be written; or the type is too narrow for a value.
        """
        rows = features.detach().to("cpu", self._dtype).contiguous()
        if rows.dtype != features.dtype and not rows.isfinite().all() and features.isfinite().all():
            kind = str(self._dtype).removeprefix("torch.")
            raise OutputError(
                f"{self._path} was not written: {kind} holds numbers up to "
                f"{torch.finfo(self._dtype).max:g}, and a feature is {float(features.abs().max()):g}; "
                "store bfloat16 or float32 (--save-dtype)"
            )
        try:
            for spool, layer in zip(self._spools, rows, strict=True):
                spool.write(layer.view(torch.uint8).numpy().tobytes())
        except OSError as error:
            raise writing_failed(self._path, error) from error
        self._frames += rows.shape[1]

    def commit(self) -> int:
        """Put the file in its place, whole.

        Returns:
            Its size in bytes.

        Raises:
            OutputError: the disk is full, or cannot be written.
        """
        try:
            with self._partial.open("wb") as file:
                self._write_header(file)
                for spool in self._spools:
                    spool.seek(0)
                    shutil.copyfileobj(spool, file, 2**20)
            size = self._partial.stat().st_size
            self._partial.replace(self._path)
        except OSError as error:
            raise writing_failed(self._path, error) from error
        return size

    def _write_header(self, file: IO[bytes]) -> None:
        shape = [len(self._spools), self._frames, self._dim]
        if self._format == "npy":
            header = {"descr": _NUMPY_TYPES[self._dtype], "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            return
        size = int(np.prod(shape)) * self._dtype.itemsize
        tensor = {"dtype": _SAFETENSORS_TYPES[self._dtype], "shape": shape, "data_offsets": [0, size]}
        text = json.dumps({"__metadata__": self._metadata, TENSOR_NAME: tensor}).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)


def check_storage(file_format: str, dtype: torch.dtype) -> None:
    """Require a format that is known and can hold the type.

    Raises:
        InputError: it is not.
    """
    if file_format not in FORMATS:
        raise InputError(f"there is no file format {file_format!r}; there are {', '.join(FORMATS)}")
    if dtype not in _SAFETENSORS_TYPES:
        raise InputError(f"features cannot be stored as {dtype}; float64, float32, float16 and bfloat16 can")
    if file_format == "npy" and dtype not in _NUMPY_TYPES:
        raise InputError(f"npy has no {dtype}; store float32, or use safetensors")


def writing_failed(path: Path, error: OSError) -> OutputError:
    """Return the error to raise when ``path`` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(_existing(path)).free / 2**20
        return OutputError(
            f"the disk is full: {path} could not be written ({free:.0f} MiB free); what was complete before "
            "it is safe; free some space and run the same command again to go on"
        )
    return OutputError(f"{path} could not be written: {os.strerror(error.errno or 0)}")


def _existing(path: Path) -> Path:
    """The nearest folder above ``path`` that exists."""
    return next(folder for folder in path.absolute().parents if folder.exists())
