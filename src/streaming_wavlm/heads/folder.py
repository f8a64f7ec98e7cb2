"""Heads on disk: a folder with ``head.json`` and ``model.safetensors``; nothing in it can run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import HeadError
from ..files import replacing
from .build import build_head
from .config import HeadConfig
from .head import Head

CONFIG_FILE = "head.json"
WEIGHTS_FILE = "model.safetensors"
# Those that come with the package, for its embedded checkpoint.
EMBEDDED_HEADS = Path(__file__).parents[1] / "assets" / "heads"
_MOST_BYTES = 512 * 2**20


def is_head(source: str | os.PathLike[str]) -> bool:
    """Tell whether there is a head in a folder, or one of that name in the package."""
    return (_folder(source) / CONFIG_FILE).is_file()


def embedded_heads() -> tuple[str, ...]:
    """Return the names of the heads that come with the package."""
    return tuple(sorted(path.parent.name for path in EMBEDDED_HEADS.glob(f"*/{CONFIG_FILE}")))


def load_head(source: str | os.PathLike[str]) -> Head:
    """Read a head, in eval mode.

    Args:
        source: its folder, or the name of one that comes with the package (``"./NAME"`` is a folder).

    Raises:
        HeadError: there is none, or it is damaged.
    """
    folder = _folder(source)
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise HeadError(
            f"there is no head {source}: a head is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or one of "
            f"the package's: {', '.join(embedded_heads()) or 'none is there'}"
        )
    try:
        config = HeadConfig.from_json(json.loads(path.read_text(encoding="utf-8")))
        if (folder / WEIGHTS_FILE).stat().st_size > _MOST_BYTES:
            raise HeadError(f"{folder / WEIGHTS_FILE} is larger than any head may be ({_MOST_BYTES} bytes)")
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise HeadError(f"the head in {folder} is damaged: {error}") from error
    return head_of(config, tensors, str(folder))


def head_of(config: HeadConfig, tensors: Mapping[str, Tensor], source: str) -> Head:
    """Return a head of given weights.

    Args:
        config: what it is.
        tensors: its weights, by the names in ``model.safetensors``.
        source: of the weights, for errors.

    Raises:
        HeadError: tensors are missing, unexpected, misshapen or not finite.
    """
    with torch.device("meta"):  # a description may speak of gigabytes that the file does not have
        head = build_head(config)
    wanted = head.state_dict()
    wrong = [f"{name} is missing" for name in wanted if name not in tensors]
    wrong += [f"{name} is unexpected" for name in tensors if name not in wanted]
    wrong += [
        f"{name} is {list(tensors[name].shape)} and should be {list(value.shape)}"
        for name, value in wanted.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    wrong = wrong or [
        f"{name} is not finite" for name, value in tensors.items() if not value.isfinite().all()
    ]
    if wrong:
        raise HeadError(f"the weights of {source} do not fit its description: {'; '.join(wrong[:6])}")
    # Copied: where a file puts a tensor in memory would decide how it is added up, in the last bit.
    head.load_state_dict({name: value.float().clone() for name, value in tensors.items()}, assign=True)
    return head


def save_head(head: Head, folder: str | os.PathLike[str]) -> None:
    """Write a head; a head that is there is replaced.

    Args:
        head: the head.
        folder: made if it is missing.

    Raises:
        HeadError: it cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous().cpu() for name, value in head.state_dict().items()}
        with replacing(folder / WEIGHTS_FILE) as temporary:
            temporary.write_bytes(save(tensors))
        with replacing(folder / CONFIG_FILE) as temporary:
            text = json.dumps(head.config.to_json(), indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise HeadError(f"the head cannot be written to {folder}: {error}") from error


def _folder(source: str | os.PathLike[str]) -> Path:
    text = os.fspath(source)
    return EMBEDDED_HEADS / text if text in embedded_heads() else Path(text)
