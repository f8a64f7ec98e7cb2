"""The teacher of a comparison, from the words of a command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import CONFIG_FILE
from ..config_file import MODEL_TYPE
from ..experiment import build as build_config
from ..experiment import override
from .recipe import SELF
from .teachers import Teacher, TeacherConfig, build

NAME = "teacher"


def named_teacher(
    source: str, words: Sequence[str] = (), device: torch.device | str = "cpu"
) -> Teacher | None:
    """Return the teacher that a name means.

    Args:
        source: ``"self"`` for the student itself; ``"logmel"`` for the log-mel spectrum; or a path or hub id,
            taken for a model of transformers where it is a folder that library saved, and else for one of
            this package or one that it converts.
        words: ``key=value`` each, over what the name says: the fields of a recipe's teacher, such as
            ``normalize=true``, ``kind=transformers`` or ``chunk_ms=800``.
        device: where to put it.

    Returns:
        The teacher; None for the student itself.

    Raises:
        ConfigError: a word is no field of a teacher, or contradicts another.
        CheckpointError: the model cannot be read.
        MissingDependencyError: it needs transformers, which is not installed.
    """
    if source == SELF and not words:
        return None
    values: dict[str, Any] = {"name": NAME, "kind": _kind(source)}
    if source != "logmel":
        values["source"] = source
    values = override(values, words)
    if values["kind"] == "reference":
        values.setdefault("chunk_ms", "whole")
    return build(build_config(TeacherConfig, values, NAME), device)


def _kind(source: str) -> str:
    if source == "logmel":
        return "logmel"
    try:
        told = json.loads((Path(source).expanduser() / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "reference"
    theirs = told.get("model_type", MODEL_TYPE) if isinstance(told, dict) else MODEL_TYPE
    return "reference" if theirs == MODEL_TYPE else "transformers"
