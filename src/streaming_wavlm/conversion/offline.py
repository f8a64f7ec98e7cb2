"""An offline WavLM in our words, whoever wrote it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from streaming_wavlm.errors import UnsupportedCheckpointError

logger = logging.getLogger(__name__)

GROUP_NORM = (
    "its front-end normalises over time (GroupNorm over the whole utterance, as WavLM-Base does), which "
    "needs audio that has not arrived yet; convert a checkpoint of the Large kind, with layer normalisation"
)
POST_NORM = (
    "its layers normalise after attention (as WavLM-Base does), and the streaming encoder before it; "
    "convert a checkpoint of the Large kind"
)


@dataclass(frozen=True)
class OfflineModel:
    """An offline WavLM.

    Attributes:
        tensors: its weights, in published parameter names; ``encoder.norm`` is there.
        fields: the config fields of its architecture.
        provenance: where it came from.
        source: its name, for messages.
        assumed: fields that its files did not tell.
    """

    tensors: dict[str, Tensor]
    fields: dict[str, Any]
    provenance: dict[str, Any]
    source: str
    assumed: tuple[str, ...] = ()


def require(settings: Mapping[str, Any], wanted: Mapping[str, tuple[Any, str]], source: str) -> None:
    """Refuse a checkpoint with a setting that the streaming encoder does not have.

    Args:
        settings: the checkpoint's own.
        wanted: setting → the value it must have, and why.
        source: the checkpoint's name.

    Raises:
        UnsupportedCheckpointError: a setting has another value.
    """
    for name, (value, reason) in wanted.items():
        if settings[name] != value:
            raise UnsupportedCheckpointError(
                f"{source} cannot be converted: {name} is {settings[name]!r}, expected {value!r}; {reason}"
            )


def rename(
    tensors: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], unused: str, source: str
) -> dict[str, Tensor]:
    """Return tensors under published names, queries, keys and values joined.

    Args:
        tensors: the weights under their own names.
        rules: pattern → published name; the first that matches a whole name holds. Others keep their name.
        unused: pattern of the names of what only training uses.
        source: the checkpoint's name.
    """
    compiled = [(re.compile(pattern), name) for pattern, name in rules]
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if re.fullmatch(unused, name):
            logger.info("%s: %s serves only its training and is left out", source, name)
            continue
        match = next(((found, to) for rule, to in compiled if (found := rule.fullmatch(name))), None)
        renamed[match[0].expand(match[1]) if match else name] = tensor
    return _join_projections(renamed)


def _join_projections(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    joined = dict(tensors)
    for name in tensors:
        parts = [name.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv"]
        if ".q_proj." in name and all(part in tensors for part in parts):
            joined[name.replace(".q_proj.", ".qkv_proj.")] = torch.cat([joined.pop(part) for part in parts])
    return joined
