"""A checkpoint in memory, and the way there from any file or folder that holds one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from streaming_wavlm.config_file import PublishedConfig, parse_json, parse_published
from streaming_wavlm.errors import CheckpointError, CheckpointNotFoundError

from .architecture import some_of
from .pickled import read_pickled
from .safetensors_file import read_safetensors
from .sniff import FileKind, file_kind
from .state_dict import find_state_dict, published_names

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors in published parameter names, and what is known about them.

    Attributes:
        tensors: the weights, as the file has them: not yet checked.
        source: the checkpoint's name, for messages.
        fields: config fields that the checkpoint states itself.
        provenance: where the weights came from.
        defaults: fields that nobody stated when the checkpoint was written.
    """

    tensors: dict[str, Tensor]
    source: str
    fields: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a published folder, a safetensors file or a file of torch.save.

    Args:
        path: the file or folder.

    Raises:
        CheckpointNotFoundError: there is no such path, or the folder holds no weights.
        CheckpointCorruptError: the file is empty, cut short or in no known format.
        UnsafeCheckpointError: reading the file would run code.
        CheckpointMismatchError: the file holds no state dict.
        UnsupportedCheckpointError: it is another model's, or of a newer version.
        ConfigError: the config beside the weights is malformed.
    """
    with reading(path):
        weights = find_weights(path) if path.is_dir() else path
        contents, inner = read_contents(weights)
        config = _published(path / CONFIG_FILE, inner, weights)
        size = weights.stat().st_size
    tensors = published_names(find_state_dict(contents, str(weights), size), str(weights))
    provenance = config.provenance or {"weights": "loaded", "file": weights.name}
    return Checkpoint(tensors, str(path), config.fields, provenance, config.defaults)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says about a file, such as a lack of permission, into an error of this package."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def read_contents(path: Path) -> tuple[Any, str | None]:
    """Read one file, whatever its name, and return what it holds and our config's text, if it has one.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointCorruptError: the file is empty, cut short or in no known format.
        UnsafeCheckpointError: reading the file would run code.
    """
    if not path.exists():
        raise CheckpointNotFoundError(f"there is no file {str(path)!r}; give the path of a checkpoint")
    kind = file_kind(path)
    return read_safetensors(path) if kind is FileKind.SAFETENSORS else (read_pickled(path, kind), None)


def find_weights(folder: Path, names: tuple[str, ...] = (WEIGHTS_FILE,)) -> Path:
    """Return the file of a folder that holds the weights.

    Raises:
        CheckpointNotFoundError: there is none; the message tells what the folder has.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = sorted(entry.name for entry in folder.iterdir())
    files = [name for name in there if name.endswith(SUFFIXES)]
    advice = f"; to load {files[0]}, give its own path" if files else ""
    raise CheckpointNotFoundError(
        f"the folder {str(folder)!r} has no {' or '.join(names)}; it has {some_of(there)}{advice}"
    )


def _published(beside: Path, inner: str | None, weights: Path) -> PublishedConfig:
    """Read the config beside the weights, or else the one inside their file."""
    if beside.is_file():
        text, where = beside.read_text(encoding="utf-8-sig", errors="replace"), str(beside)
    elif inner is not None:
        text, where = inner, f"the metadata of {weights}"
    else:
        return PublishedConfig()
    return parse_published(parse_json(text, where), where)
