"""One config out of what the tensors tell, what the file states and what the caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import CheckpointMismatchError, ConfigError
from streaming_wavlm.keys import shown

from .architecture import read_architecture
from .bundle import Checkpoint


def resolve_config(
    checkpoint: Checkpoint, given: Mapping[str, Any]
) -> tuple[StreamingWavLMConfig, tuple[str, ...]]:
    """Return the config of a checkpoint, and the names of the fields that took their default.

    The tensors decide what they can tell; then comes what the caller gives, then what the file states, and
    the documented default where nobody says anything.

    Args:
        checkpoint: the tensors, and the fields stated beside them.
        given: fields that the caller gives.

    Raises:
        CheckpointMismatchError: a stated field contradicts the tensors, or the strides cannot be known.
        ConfigError: a given value is out of range.
    """
    found = read_architecture(checkpoint.tensors, checkpoint.source)
    _refuse_contradictions(checkpoint, found, given)
    stated = {**checkpoint.fields, **given}
    merged = {**stated, **found}
    standard = StreamingWavLMConfig()
    kernels = found.get("kernel_sizes", standard.kernel_sizes)
    if "strides" not in merged and len(kernels) != len(standard.strides):
        raise CheckpointMismatchError(
            f"{checkpoint.source} has {len(kernels)} front-end convolutions (kernels {list(kernels)}), whose "
            "strides cannot be read off the tensors; the documented default is for "
            f"{len(standard.strides)}: {list(standard.strides)}; give a config with 'strides'"
        )
    try:
        config = standard.replace(**merged)
    except ConfigError as error:
        if stated:
            raise
        raise CheckpointMismatchError(
            f"the shapes of {checkpoint.source} make no possible model: {error}; "
            "give a config with what it was trained with"
        ) from error
    assumed = [
        name
        for name in config.field_names()
        if name not in merged or (name in checkpoint.defaults and name not in given)
    ]
    return config, tuple(assumed)


def _refuse_contradictions(
    checkpoint: Checkpoint, found: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    conflicts = []
    for name, value in found.items():
        for fields, where in (
            (given, "the given config"),
            (checkpoint.fields, "the checkpoint's own config"),
        ):
            if name in fields and _plain(fields[name]) != _plain(value):
                conflicts.append(
                    f"{name}: {shown(_plain(value))} in the tensors, {shown(fields[name])} in {where}"
                )
                break
    if conflicts:
        raise CheckpointMismatchError(
            f"the config contradicts the tensors of {checkpoint.source}. {'; '.join(conflicts)}. "
            "Correct these fields, or leave them out: they are read off the tensors"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
