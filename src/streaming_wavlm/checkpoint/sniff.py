"""What a file is, told from its first bytes and its size: names lie."""

from __future__ import annotations

import enum
from pathlib import Path

from streaming_wavlm.errors import CheckpointCorruptError

_LFS = b"version https://git-lfs"
_AGAIN = "download or copy the checkpoint again"


class FileKind(enum.Enum):
    """The formats that checkpoints come in."""

    ZIP = "a zip archive, as torch.save writes"
    PICKLE = "a bare pickle, as torch.save wrote before 1.6"
    SAFETENSORS = "safetensors"


def file_kind(path: Path) -> FileKind:
    """Return the format of a checkpoint file.

    Raises:
        CheckpointCorruptError: the file is empty, or visibly something else than a checkpoint.
    """
    size = path.stat().st_size
    if size == 0:
        raise CheckpointCorruptError(f"{path} is empty (0 bytes); {_AGAIN}")
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return FileKind.ZIP
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    # Eight bytes of header length, then a JSON object.
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and (not pickled or header + 8 <= size):
        return FileKind.SAFETENSORS
    if pickled:
        return FileKind.PICKLE
    raise CheckpointCorruptError(f"{path} ({size} bytes) {_describe(head)}")


def _describe(head: bytes) -> str:
    text = head.decode("utf-8", errors="replace").strip()
    if head.startswith(_LFS):
        return (
            "is a git-lfs pointer, not the checkpoint itself; fetch the file it stands for: "
            "git lfs install && git lfs pull"
        )
    if text[:200].lower().startswith(("<!doctype html", "<html", "<?xml")):
        return f"is a web page, not a checkpoint: the download gave an error or a login page; {_AGAIN}"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar":
        return "is a compressed or tar archive; unpack it and give the checkpoint inside"
    if text and all((mark.isprintable() or mark.isspace()) and mark != "\ufffd" for mark in text[:64]):
        return f"is text, not a checkpoint; it begins with {text[:40]!r}; {_AGAIN}"
    return f"is in no format that is read here; expected safetensors or a file of torch.save; {_AGAIN}"
