"""Reading what torch.save wrote, without ever running what a pickle asks for."""

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from streaming_wavlm.errors import CheckpointCorruptError, UnsafeCheckpointError

from .sniff import FileKind

# Plain containers and torch's own pieces; used only to word a refusal, never to allow anything.
_HARMLESS = re.compile(
    r"torch(\..*)?|collections\.(OrderedDict|Counter)|argparse\.Namespace|_codecs\.encode"
    r"|(builtins|__builtin__)\.(set|bytearray|complex|bytes|dict|list|tuple|int|float|bool|str)"
)
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
_CUT = "it is cut short or damaged; download or copy the checkpoint again"


def read_pickled(path: Path, kind: FileKind) -> Any:
    """Read a file of torch.save: tensors, plain containers and ``argparse.Namespace``, nothing else.

    Args:
        path: the file.
        kind: its format: a zip archive or a bare pickle.

    Raises:
        UnsafeCheckpointError: reading the file would run code that it names.
        CheckpointCorruptError: the file is cut short or damaged.
    """
    if kind is FileKind.ZIP:
        _check_archive(path)
    try:
        # Training scripts save their argparse.Namespace beside the weights: a bag of attributes, no code.
        # What somebody else allowed must still be allowed afterwards.
        allowed = torch.serialization.get_safe_globals()
        extra: list[Any] = [] if argparse.Namespace in allowed else [argparse.Namespace]
        with torch.serialization.safe_globals(extra), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of other pickle protocols; the result tells
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is FileKind.ZIP)
    except Exception as error:  # the unpickler of a damaged file fails in any way it likes
        wanted = pickled_globals(path, kind)
        refused = _REFUSED.findall(str(error)) if isinstance(error, pickle.UnpicklingError) else []
        # What torch refused, if the file names it whole: a damaged name is no request to run anything.
        names = [name for name in wanted if name in refused or not _HARMLESS.fullmatch(name)]
        if names:
            raise UnsafeCheckpointError(
                f"{path} was not read: it is a pickle that carries more than tensors, and rebuilding "
                f"{', '.join(dict.fromkeys(names))} would run code that the file names; expected tensors in "
                "plain containers. Save the weights alone: torch.save(model.state_dict(), path), or "
                "safetensors; if you trust the file, torch.load(path, weights_only=False) opens it for that"
            ) from error
        size = path.stat().st_size
        raise CheckpointCorruptError(
            f"{path} ({size} bytes) cannot be read ({_reason(error)}): {_CUT}"
        ) from error


def pickled_globals(path: Path, kind: FileKind) -> list[str]:
    """Return the names that a file's pickles would import, as far as they can be read; nothing is run."""
    names: list[str] = []
    try:
        if kind is FileKind.ZIP:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        with archive.open(name) as file:
                            names += _globals(file)
        else:
            with path.open("rb") as file:
                for _ in range(5):  # an old file is five pickles, then raw numbers
                    names += _globals(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError):
        pass  # where the pickle breaks off, what was found so far is all there is to say
    return names


def _reason(error: Exception) -> str:
    """Return what torch says, without its advice."""
    advice = ("Weights only load failed", "Please file", "Check the documentation", "(1)", "(2)")
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(advice)]
    return told[0][:200] if told else type(error).__name__


def _globals(file: IO[bytes]) -> list[str]:
    names: list[str] = []
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(strings[-2:]))
            elif isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        if not names:
            raise
    return names


def _check_archive(path: Path) -> None:
    """Refuse what torch.save never writes: no length in the archive is believed beyond the file's size."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointCorruptError(
            f"{path} ({size} bytes) is not a whole zip archive ({error}): {_CUT}"
        ) from error
    names = [entry.filename for entry in entries]
    if any(name.endswith("constants.pkl") for name in names):
        raise UnsafeCheckpointError(
            f"{path} is a TorchScript archive: it carries code, and was not read; expected a state dict; "
            "save one with torch.save(model.state_dict(), path)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointCorruptError(
            f"{path} is a zip archive, but not one of torch.save: it has no data.pkl; "
            "if it holds a checkpoint, unpack it and give the file inside"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size for entry in entries):
        raise CheckpointCorruptError(
            f"{path} is a zip archive whose parts are compressed or larger than the file; torch.save writes "
            "them plain: it is damaged or was made to mislead; download or copy the checkpoint again"
        )
