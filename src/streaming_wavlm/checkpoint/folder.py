"""Writing the published form: a folder with weights, config and model card, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from streaming_wavlm.config import FORMAT_VERSION, StreamingWavLMConfig
from streaming_wavlm.config_file import MODEL_TYPE
from streaming_wavlm.errors import CheckpointError, ConfigError
from streaming_wavlm.files import replacing

from .bundle import CONFIG_FILE, WEIGHTS_FILE
from .card import model_card
from .check import check_tensors
from .safetensors_file import written_safetensors

CARD_FILE = "README.md"


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: StreamingWavLMConfig,
    provenance: Mapping[str, Any],
    defaults: tuple[str, ...] = (),
) -> None:
    """Write a checkpoint in its published form.

    The weights are put in place last and their predecessor goes first, so that a folder that was half
    written, or half overwritten, has no weights and does not load. A model card that is there is kept.

    Args:
        folder: where to; made if missing.
        tensors: the weights, in published parameter names.
        config: the architecture.
        provenance: where the weights came from, JSON-ready.
        defaults: the config fields that nobody stated.

    Raises:
        CheckpointMismatchError: the tensors are not those of ``config``.
        CheckpointCorruptError: a weight is NaN or infinite.
        ConfigError: ``provenance`` cannot be written as JSON.
        CheckpointError: the folder cannot be written.
    """
    check_tensors(tensors, config, "the model to be saved")
    text = config_text(config, provenance, defaults)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / CARD_FILE).exists():
            _write_text(folder / CARD_FILE, model_card(config, provenance))
        # The weights wait under their temporary name while everything else falls into place.
        with written_safetensors(folder / WEIGHTS_FILE, tensors, text) as weights:
            (folder / WEIGHTS_FILE).unlink(missing_ok=True)
            _write_text(folder / CONFIG_FILE, text)
            weights.replace(folder / WEIGHTS_FILE)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint cannot be written to {str(folder)!r}: {error.strerror or error}; "
            "give a folder that can be written, on a disk with room"
        ) from error


def config_text(
    config: StreamingWavLMConfig, provenance: Mapping[str, Any], defaults: tuple[str, ...] = ()
) -> str:
    """Return the text of ``config.json``.

    Raises:
        ConfigError: ``provenance`` cannot be written as JSON.
    """
    values = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        **config.to_dict(),
        "defaults": list(defaults),
        "provenance": dict(provenance),
    }
    try:
        return json.dumps(values, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"provenance must be plain values that JSON can hold (text, numbers, lists, dicts): {error}"
        ) from error


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
