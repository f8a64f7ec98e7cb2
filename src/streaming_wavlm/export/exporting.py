"""From a model to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..errors import ConfigError, ExportError
from ..model import StreamingWavLM
from . import onnx_format, openvino_format, torch_format
from .signature import Precision

Writer = Callable[[StreamingWavLM, Path, Precision, "int | None"], None]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        suffix: of its files.
        precisions: those it really computes in.
        why_not: why the others are refused.
        write: writes it.
        companions: suffixes of the files that it writes beside it.
    """

    suffix: str
    precisions: tuple[Precision, ...]
    why_not: str
    write: Writer
    companions: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "onnx": Format(
        ".onnx",
        ("fp32", "int8"),
        "ONNX Runtime has no bfloat16 products on the CPU",
        onnx_format.write,
    ),
    "openvino": Format(".xml", ("fp32", "bf16", "int8"), "", openvino_format.write, (".bin",)),
    "torch": Format(
        ".pt2",
        ("fp32", "bf16"),
        "torch.export carries no portable int8 products",
        torch_format.write,
    ),
}


def export(
    model: StreamingWavLM,
    out: str | os.PathLike[str],
    *,
    format: str,
    precision: Precision = "fp32",
    batch: int | None = 1,
    overwrite: bool = False,
    accept: Callable[[Path], object] | None = None,
) -> Path:
    """Write the step of a model, at its chunk size, as one graph.

    Args:
        model: a causal model in eval mode, in float32 on the CPU.
        out: the file, with the suffix of the format (``.onnx``, ``.xml`` or ``.pt2``), or an existing folder
            or new name without suffix, in which it becomes ``step`` with that suffix.
        format: ``"onnx"``, ``"openvino"`` or ``"torch"``.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``; see :data:`FORMATS` for which format has which.
        batch: the number of streams; None for any number, where graphs may be slower.
        overwrite: replace files that are there.
        accept: is shown the file before it takes its place, such as :func:`check` with the model; what it
            raises is raised, and nothing was written or replaced.

    Returns:
        The file. An OpenVINO graph has its weights in a second one beside it, ``.bin``.

    Raises:
        ExportError: there is no such format, it does not have the precision, or the file cannot be written.
        ConfigError: the model is bidirectional.
        InputError: the model, or a part of it, would apply dropout.
        MissingDependencyError: the library that writes the format is not installed.
    """
    if format not in FORMATS:
        raise ExportError(f"there is no format {format!r}; there are {', '.join(map(repr, FORMATS))}")
    kind = FORMATS[format]
    if precision not in kind.precisions:
        allowed = ", ".join(map(repr, kind.precisions))
        known = precision in get_args(Precision)
        why = f": {kind.why_not}" if known and kind.why_not else ""
        raise ExportError(f"{format} has no precision {precision!r}{why}; it has {allowed}")
    if not model.config.causal:
        raise ConfigError("a bidirectional model has no step to export; load a causal config")
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise ExportError(f"batch must be a number of streams from 1, or None for any, got {batch!r}")
    if str(model.dtype) != "torch.float32" or model.device.type != "cpu":
        raise ExportError(
            f"export takes the model in float32 on the CPU, got {model.dtype} on {model.device}; "
            "load it so, and say precision= for the file"
        )
    target = _target(Path(out), kind.suffix)
    for file in (target, *map(target.with_suffix, kind.companions)):
        if file.exists() and not overwrite:
            raise ExportError(f"{file} exists; give another name, or overwrite it (--overwrite)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Aside, then moved: a folder, because OpenVINO names the weights after the graph.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            kind.write(model, made, precision, batch)
            if accept is not None:
                accept(made)
            # The graph last: one that is there finds its weights.
            for file in (*map(target.with_suffix, kind.companions), target):
                (made.parent / file.name).replace(file)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    return target


def _target(out: Path, suffix: str) -> Path:
    if out.suffix == suffix:
        return out
    if out.suffix in {kind.suffix for kind in FORMATS.values()}:
        raise ExportError(f"a file of this format ends in {suffix}, got {out.name}")
    return out / f"step{suffix}"
