"""What a ``.pt2`` file may hold: torch runs code that such a file names, so all of it is looked at first."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import ExportError

# The parts that torch.export writes for a model of tensors alone; today's layout, then that before torch 2.8.
_PARTS = re.compile(
    r"data/weights/(weight_\d+|\w+_weights_config\.json)|data/constants/(tensor_\d+|\w+_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|extra/\w+|archive_format|archive_version|byteorder"
    r"|version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|serialized_exported_program\.json|serialized_(state_dict|constants|example_inputs)\.pt|extra_files/\w+"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.\w+(\.\w+)?|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|getitem)"
    r"|math\.(ceil|floor|trunc)"
)
# Sizes and conditions on them are text that torch evaluates as Python.
_SIZE = re.compile(r"L\['\w+'\](\[\d+\])*\.size\(\)\[\d+\]")
_SYMBOL = re.compile(r"'([su]\d+)'")
_ARITHMETIC = re.compile(r"[\w\s+\-*/%<>=!(),]*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_KNOWN = re.compile(
    r"Symbol|[su]\d+|and|or|not|max|min|positive|nonnegative|integer|True|False|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod"
    r"|FloorDiv|CeilDiv|CleanDiv"
)


def check_contents(path: Path) -> None:
    """Refuse a file with anything that this package's exports do not have and that could run code.

    Args:
        path: a ``.pt2`` file.

    Raises:
        ExportError: it has such a part, or is damaged.
    """
    for name, contents in _parts(path):
        if not _PARTS.fullmatch(name):
            raise _refusal(path, f"the part {name!r}")
        if name.endswith(".json"):
            _check_values(json.loads(contents), path)
        elif name.endswith(".pt") and contents:
            try:
                torch.load(io.BytesIO(contents), map_location="cpu", weights_only=True)
            except Exception as error:  # torch would then read it with any code that it names
                raise _refusal(path, f"in {name} more than tensors") from error


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every part as torch's reader finds it, and as Python's does, which read older files."""
    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError:
        pass
    else:
        for name in reader.get_all_records():
            yield name, reader.get_record(name) if name.endswith((".json", ".pt")) else b""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        folders = {entry.filename.partition("/")[0] for entry in entries}
        root = f"{folders.pop()}/" if len(folders) == 1 else ""
        for entry in entries:
            name = entry.filename.removeprefix(root)
            yield name, archive.read(entry) if name.endswith((".json", ".pt")) else b""


def _check_values(value: Any, path: Path) -> None:
    if isinstance(value, list):
        for item in value:
            _check_values(item, path)
    if not isinstance(value, dict):
        return
    if value.get("use_pickle"):
        raise _refusal(path, "a pickled tensor")
    if str(value.get("path_name", "")).startswith(("custom_obj", "opaque_obj")):
        raise _refusal(path, "a pickled constant")
    if {"target", "inputs", "outputs"} <= set(value) and not _OPERATORS.fullmatch(str(value["target"])):
        raise _refusal(path, f"the operator {str(value['target'])[:100]!r}")
    for text in (*(value.get("guards_code") or ()), value.get("expr_str", "")):
        rest = _SYMBOL.sub(r"\1", _SIZE.sub("0", str(text)))
        if not _ARITHMETIC.fullmatch(rest) or not all(map(_KNOWN.fullmatch, _WORD.findall(rest))):
            raise _refusal(path, f"the expression {str(text)[:100]!r}")
    for item in value.values():
        _check_values(item, path)


def _refusal(path: Path, what: str) -> ExportError:
    return ExportError(
        f"{path} was not read: it has {what}, which no export of this package has and which could run code; "
        "export the model again, or, if you trust the file, torch.export.load opens it"
    )
