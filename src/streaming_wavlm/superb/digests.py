"""What tells experiments from each other: what their files say, not where they are."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import yaml

from ..loading import EMBEDDED, EMBEDDED_FOLDER

# Lies in the folder of a corpus that was prepared, and says what from.
CORPUS_FILE = "prepared.json"
_WEIGHTS = (".safetensors", ".pt", ".bin", ".json")


def config_digest(path: Path) -> str:
    """Return what changes with what an experiment's config says, and not when its folder is moved.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text.
        yaml.YAMLError: it is no YAML.
    """
    said = json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), sort_keys=True, default=str)
    return _short(said.replace(json.dumps(str(path.parent.resolve()))[1:-1], "").encode())


def corpus_digest(config: Path) -> str | None:
    """Return what changes with the corpus that a config came with; None where it was not prepared here.

    Args:
        config: of the experiment.
    """
    try:
        facts: dict[str, Any] = json.loads((config.parent / CORPUS_FILE).read_text(encoding="utf-8"))
        return _short(json.dumps([facts["content"], facts["task"]]).encode())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def experiment_digest(config: Path) -> str:
    """Return what changes with an experiment's config and its corpus, and not when these are moved.

    Args:
        config: the file; errors are those of :func:`config_digest`.
    """
    return _short(json.dumps([config_digest(config), corpus_digest(config)]).encode())


def folder_digest(folder: Path, place: Path) -> str:
    """Return what changes with the files of a corpus, wherever it is.

    Args:
        folder: that holds the files now.
        place: where they say they are.
    """
    digest, said = hashlib.sha256(), str(place).encode()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in (CORPUS_FILE, "config.yaml"):
            digest.update(
                name.encode() + b"\0" + hashlib.sha256(path.read_bytes().replace(said, b"")).digest()
            )
    return digest.hexdigest()[:16]


def checkpoint_digest(source: str | os.PathLike[str]) -> str:
    """Return what changes with a checkpoint: the content of a file or a folder, else the name.

    Args:
        source: a file, a folder, ``"mini"``, or a name on the hub.
    """
    path = EMBEDDED_FOLDER if source == EMBEDDED else Path(source).expanduser()
    if path.is_file():
        return _of_file(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _WEIGHTS and file.is_file())
        return _short(json.dumps([[file.name, _of_file(file)] for file in files]).encode())
    return str(source)


def _of_file(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()[:16]


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
