"""From what a training script saved to tensors in published parameter names."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from streaming_wavlm.errors import CheckpointMismatchError, UnsupportedCheckpointError

from .architecture import some_of
from .check import WEIGHT_TYPES
from .sizes import check_sizes

logger = logging.getLogger(__name__)

# Where training scripts put the model's state dict, the most telling name first.
CONTAINERS = ("student_state_dict", "state_dict", "model_state_dict", "model")
# What wrappers put before a parameter's name; no parameter of ours begins so.
_PREFIXES = re.compile(r"^(?:(?:module|model|wavlm|student)\.)+")
# Names that only the offline WavLM has, in transformers' and in the original spelling.
_OFFLINE = re.compile(r"feature_projection\.|encoder\.pos_conv|post_extract_proj\.|.*\.self_attn\.")
# The two spellings of a weight-normalised parameter: its magnitude, its direction.
_WEIGHT_NORM = {
    ".weight_g": ".weight_v",
    ".parametrizations.weight.original0": ".parametrizations.weight.original1",
}


def find_state_dict(contents: Any, source: str, size: int | None = None) -> dict[str, Tensor]:
    """Return the tensors of a bare state dict, or of the one inside a training checkpoint.

    Args:
        contents: what the file held: a state dict, or a mapping with one under a name of ``CONTAINERS``,
            an optimiser's and anything else beside it.
        source: the file's name, for messages.
        size: the file's length in bytes, to hold the tensors against; None for what is in memory already.

    Raises:
        CheckpointMismatchError: there is no state dict.
        CheckpointCorruptError: its tensors claim more than the file holds.
    """
    return _find(contents, source, size, ())


def _find(contents: Any, source: str, size: int | None, above: tuple[int, ...]) -> dict[str, Tensor]:
    if id(contents) in above:
        raise CheckpointMismatchError(
            f"{source} is a dict that holds itself; save the weights alone, with "
            "torch.save(model.state_dict(), path)"
        )
    if not isinstance(contents, Mapping):
        raise CheckpointMismatchError(
            f"{source} holds a {type(contents).__name__}; expected a state dict, or a dict with one under "
            f"{some_of(CONTAINERS)}; save it with torch.save(model.state_dict(), path)"
        )
    for name in CONTAINERS:
        inner = contents.get(name)
        if isinstance(inner, Mapping):
            beside = [str(key) for key in contents if key != name]
            if beside:
                logger.info("%s: taking %s; beside it and not used: %s", source, name, some_of(beside))
            return _find(inner, f"{source} [{name}]", size, (*above, id(contents)))
    tensors = {str(name): value for name, value in contents.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointMismatchError(
            f"{source} holds no tensors, only {some_of(list(contents))}; expected a state dict, or a dict "
            f"with one under {some_of(CONTAINERS)}"
        )
    others = [str(name) for name, value in contents.items() if not isinstance(value, Tensor)]
    if others:
        logger.info("%s: not tensors, so not used: %s", source, some_of(others))
    if size is not None:
        check_sizes(tensors, size, source)
    return tensors


def published_names(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the tensors without the prefixes of wrappers and with weight normalisation folded in.

    Args:
        tensors: names with or without ``module.``, ``model.``, ``wavlm.``, ``student.``, in any order, and
            torch.compile's ``_orig_mod.``.
        source: the file's name, for messages.

    Raises:
        CheckpointMismatchError: two names become one.
        UnsupportedCheckpointError: these are the names of the offline WavLM.
    """
    original: dict[str, str] = {}
    for name in tensors:
        short = _PREFIXES.sub("", name.replace("_orig_mod.", ""))
        if short in original:
            raise CheckpointMismatchError(
                f"{source} has both {original[short]!r} and {name!r}, which are one parameter without their "
                "prefixes; keep one of the two models and save it alone"
            )
        original[short] = name
    if any(_OFFLINE.match(name) for name in original):
        raise UnsupportedCheckpointError(
            f"{source} is an offline WavLM by its parameter names, which is not causal; "
            "streaming_wavlm.convert(...) makes a student's initialisation or a bidirectional reference of it"
        )
    return fold_weight_norm({short: tensors[name] for short, name in original.items()}, source)


def fold_weight_norm(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the tensors with every weight-normalised pair multiplied out into its ``weight``.

    Raises:
        CheckpointMismatchError: the two tensors of a pair do not fit each other.
    """
    folded = dict(tensors)
    for name in tensors:
        for magnitude, direction in _WEIGHT_NORM.items():
            stem = name.removesuffix(magnitude)
            if stem != name and stem + direction in tensors:
                pair = folded.pop(name), folded.pop(stem + direction)
                folded[f"{stem}.weight"] = _multiply_out(*pair, f"{source}: {name}")
    return folded


def _multiply_out(magnitude: Tensor, direction: Tensor, name: str) -> Tensor:
    """Return ``magnitude * direction / |direction|``, the norm over the axes where the magnitude has one."""
    fits = magnitude.ndim in (0, direction.ndim) and all(
        one in (1, size) for one, size in zip(magnitude.shape, direction.shape, strict=False)
    )
    sound = all(
        half.dtype in WEIGHT_TYPES and half.layout == torch.strided and not half.is_meta
        for half in (magnitude, direction)
    )
    if not fits or not sound:
        raise CheckpointMismatchError(
            f"{name} is one half of a weight normalisation, {list(magnitude.shape)} {magnitude.dtype}, and "
            f"does not fit the other, {list(direction.shape)} {direction.dtype}; save the model again"
        )
    axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1] or None
    wide = direction.to(torch.promote_types(direction.dtype, torch.float32))
    norm: Tensor = torch.linalg.vector_norm(wide, dim=axes, keepdim=True)
    return wide * (magnitude / norm)
