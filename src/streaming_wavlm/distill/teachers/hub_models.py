"""Loading speech models with transformers."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import nn

from ...checkpoint import first_line
from ...errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    MissingDependencyError,
    UnsupportedCheckpointError,
)

# Weights that only training uses: transformers makes them up where a checkpoint has none.
_UNUSED = ("masked_spec_embed",)


def import_transformers() -> ModuleType:
    """Import transformers, also where torchaudio is installed and does not load.

    Raises:
        MissingDependencyError: transformers is not installed.
    """
    try:
        transformers = importlib.import_module("transformers")
        utils = importlib.import_module("transformers.utils")
    except ImportError as error:
        raise MissingDependencyError(
            'this teacher is a model of transformers: pip install "streaming-wavlm[distill]"'
        ) from error
    if "transformers.audio_utils" not in sys.modules:
        try:
            importlib.import_module("transformers.audio_utils")
        except (OSError, RuntimeError):
            # It imports torchaudio, which it does not need here, wherever it is installed.
            with mock.patch.object(utils, "is_torchaudio_available", return_value=False):
                importlib.import_module("transformers.audio_utils")
    return transformers


def load_encoder(source: str, dtype: torch.dtype) -> nn.Module:
    """Load the encoder of a speech model, in eval mode.

    Args:
        source: a folder or a hub id.
        dtype: of the weights.

    Raises:
        CheckpointNotFoundError: it is not here and the hub did not give it.
        CheckpointMismatchError: the checkpoint lacks weights.
        MissingDependencyError: transformers is not installed.
    """
    transformers = import_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(source)
        kind = transformers.AutoModel
        if config.model_type == "whisper":
            alone = "WhisperEncoder" in (config.architectures or [])
            whisper = importlib.import_module("transformers.models.whisper.modeling_whisper")
            kind = whisper.WhisperEncoder if alone else transformers.WhisperModel
        model, info = kind.from_pretrained(source, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise CheckpointNotFoundError(
            f"transformers cannot load the teacher {source!r} ({type(error).__name__}: {first_line(error)}); "
            "give a folder that transformers saved, or a hub id if the hub can be reached"
        ) from error
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(_UNUSED))
    if missing:
        raise CheckpointMismatchError(
            f"the teacher {source!r} lacks {len(missing)} weights, among them {', '.join(missing[:4])}; "
            "a model with made-up weights teaches nothing: download or copy it again"
        )
    if config.model_type == "whisper" and not alone:
        model = model.encoder
    encoder: nn.Module = model.to(dtype).eval()
    return encoder


def preprocessor_settings(source: str) -> dict[str, Any] | None:
    """Return what ``preprocessor_config.json`` says, or None if there is none.

    Args:
        source: a folder or a hub id.
    """
    transformers = import_transformers()
    try:
        settings, _ = transformers.FeatureExtractionMixin.get_feature_extractor_dict(source)
    except (OSError, ValueError):
        return None
    return dict(settings)


def require_rate(settings: dict[str, Any] | None, source: str) -> None:
    """Require a model that hears 16 kHz.

    Raises:
        UnsupportedCheckpointError: it hears something else.
    """
    rate = (settings or {}).get("sampling_rate", 16_000)
    if rate != 16_000:
        raise UnsupportedCheckpointError(
            f"the teacher {source!r} hears {rate} Hz; students are made of 16 kHz: use another teacher"
        )
