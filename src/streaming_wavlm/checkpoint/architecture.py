"""Reading the architecture off the shapes of the tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from streaming_wavlm.errors import CheckpointMismatchError

from .layout import Shape

_LAYER = re.compile(r"(feature_extractor|encoder)\.layers\.(\d{1,4})\.")

# Where a size can be read: the tensor's name, how many axes it must have, and which of them.
Place = tuple[str, int, int]


def read_architecture(tensors: Mapping[str, Tensor], source: str) -> dict[str, Any]:
    """Return every config field that the tensors tell; one whose tensors are missing is left out.

    Each field is read from the first of several tensors that is there, so that a checkpoint with holes is
    understood well enough to say what is missing. Whether all tensors agree is for others to check.

    Args:
        tensors: the checkpoint, in published parameter names.
        source: the checkpoint's name, for messages.

    Raises:
        CheckpointMismatchError: this is no checkpoint of a streaming WavLM, or layers are missing in between.
    """
    shapes: dict[str, Shape] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    convs = _count_layers(shapes, "feature_extractor", source)
    layers = _count_layers(shapes, "encoder", source)
    if not convs or not layers:
        raise CheckpointMismatchError(
            f"{source} is no checkpoint of a streaming WavLM: by name, its tensors make {convs} front-end "
            f"and {layers} transformer layers; expected 'feature_extractor.layers.0.conv.weight', "
            f"'encoder.layers.0.attention.qkv_proj.weight' and so on, found {some_of(sorted(shapes))}"
        )

    def first(*places: Place) -> int | None:
        for name, axes, axis in places:
            shape = shapes.get(name, ())
            if len(shape) == axes and shape[axis] > 0:
                return shape[axis]
        return None

    def in_layers(name: str, axes: int, axis: int) -> list[Place]:
        return [(f"encoder.layers.{index}.{name}", axes, axis) for index in range(layers)]

    front = [f"feature_extractor.layers.{index}" for index in range(convs)]
    pos_conv = "encoder.positional_embedding.conv"
    relative = "encoder.relative_embedding.weight"
    fields: dict[str, Any] = {
        "num_layers": layers,
        "hidden_dims": _all(first((f"{at}.conv.weight", 3, 0), (f"{at}.norm.weight", 1, 0)) for at in front),
        "kernel_sizes": _all(first((f"{at}.conv.weight", 3, 2)) for at in front),
        "dim": first(
            ("feature_proj.weight", 2, 0),
            ("feature_proj.bias", 1, 0),
            (f"{pos_conv}.weight", 3, 0),
            *in_layers("attention.out_proj.weight", 2, 0),
        ),
        "ffn_dim": first(
            *in_layers("feed_forward.in_proj.weight", 2, 0), *in_layers("feed_forward.out_proj.weight", 2, 1)
        ),
        "num_heads": first((relative, 2, 1), *in_layers("attention.gru_rel_pos_const", 4, 1)),
        "num_buckets": first((relative, 2, 0)),
        "conv_pos": first((f"{pos_conv}.weight", 3, 2)),
        "conv_bias": any(f"{at}.conv.bias" in shapes for at in front),
        "final_norm": any(name.startswith("encoder.norm.") for name in shapes),
    }
    per_group = first((f"{pos_conv}.weight", 3, 1))
    if fields["dim"] and per_group:
        fields["conv_pos_groups"] = max(1, fields["dim"] // per_group)
    if fields["final_norm"]:
        # Only the bidirectional reference normalises its last layer.
        fields.update(causal=False, front_pad="valid")
    return {name: value for name, value in fields.items() if value is not None}


def some_of(names: Sequence[object], limit: int = 8) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(map(str, names[:limit])) or "nothing") + more


def _all(sizes: Iterable[int | None]) -> tuple[int | None, ...] | None:
    listed = tuple(sizes)
    return None if None in listed else listed


def _count_layers(shapes: Mapping[str, Shape], stack: str, source: str) -> int:
    matches = (_LAYER.match(name) for name in shapes)
    indices = {int(match[2]) for match in matches if match and match[1] == stack}
    missing = sorted(set(range(max(indices, default=-1) + 1)) - indices)
    if missing:
        raise CheckpointMismatchError(
            f"{source} has {stack}.layers up to number {max(indices)}, but not {some_of(missing)}: "
            "part of the checkpoint is missing; expected every layer from 0; save it again, whole"
        )
    return len(indices)
