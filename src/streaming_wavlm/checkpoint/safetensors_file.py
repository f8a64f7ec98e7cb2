"""Reading and writing one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from streaming_wavlm.errors import CheckpointCorruptError
from streaming_wavlm.files import temporary_name, usual_mode

# Our config.json, in the metadata of a file that we wrote.
CONFIG_KEY = "streaming_wavlm"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Read every tensor of a file, and our config from its metadata.

    Args:
        path: the file.

    Returns:
        The tensors, and the text of our ``config.json`` if we wrote the file.

    Raises:
        CheckpointCorruptError: the file is cut short or damaged.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata.get(CONFIG_KEY)  # noqa: SIM118
    except (SafetensorError, ValueError, OverflowError, RuntimeError) as error:
        raise CheckpointCorruptError(
            f"{path} is not sound safetensors ({error}); {path.stat().st_size} bytes were found; "
            "download or copy the checkpoint again"
        ) from error


@contextmanager
def written_safetensors(path: Path, tensors: Mapping[str, Tensor], config_text: str) -> Iterator[Path]:
    """Write tensors under a temporary name; the caller moves the file to its own when all else is ready.

    Args:
        path: the file's own name.
        tensors: what to write; copied to the CPU.
        config_text: the text of our ``config.json``, to travel inside.

    Yields:
        The temporary path. A file that is still there afterwards is removed.
    """
    temporary = temporary_name(path)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with usual_mode(temporary):
            save_file(plain, temporary, metadata={"format": "pt", CONFIG_KEY: config_text})
        yield temporary
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_header(path: Path) -> None:
    """Compare the lengths that the header claims with the file's size, before anybody acts on them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        if header > size - 8:
            raise CheckpointCorruptError(
                f"{path} claims a header of {header} bytes, but the file has only {size}: it is cut short or "
                "damaged; download or copy the checkpoint again"
            )
        try:
            entries = json.loads(file.read(header))
            ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
            expected = 8 + header + max(ends, default=0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointCorruptError(
                f"{path} has a damaged safetensors header ({error}); download or copy the checkpoint again"
            ) from error
    if expected > size:
        raise CheckpointCorruptError(
            f"{path} should have {expected} bytes and has {size}: it is cut short; "
            "download or copy the checkpoint again"
        )
