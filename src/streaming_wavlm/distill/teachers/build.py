"""From a recipe's words to a teacher."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from ...checkpoint import find_state_dict, locate, read_contents
from ...conversion import convert
from ...errors import ConfigError, UnsupportedCheckpointError
from ...loading import load
from .base import Teacher
from .cache import CachedTeacher
from .config import TeacherConfig
from .hub_models import load_encoder, preprocessor_settings, require_rate
from .logmel import LogMelTeacher
from .reference import ReferenceTeacher
from .speaker import SpeakerTeacher
from .waveform import WaveformTeacher
from .whisper import WhisperTeacher

logger = logging.getLogger(__name__)


def build(
    config: TeacherConfig,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    layers: Sequence[int] | None = None,
) -> Teacher:
    """Build the teacher that a recipe describes, frozen and in eval mode.

    Args:
        config: the description.
        device: where to put it.
        dtype: of its weights, unless the description has another. The speaker encoder, which is small, and
            what computes spectra stay in float32.
        layers: the layers to give, unless the description has some; all when None.

    Raises:
        CheckpointError: the model is missing, damaged, incomplete or of a kind that cannot teach.
        ConfigError: it has no such layers, or nothing says whether it wants normalised audio.
        MissingDependencyError: it needs transformers, which is not installed.
    """
    wanted = config.layers if config.layers is not None else layers
    teacher = _built(config, _dtype(config, dtype), wanted or None).to(device)
    if config.cache is None:
        return teacher
    return CachedTeacher(teacher, Path(config.cache), int(config.cache_gb * 1e9))


def _built(config: TeacherConfig, dtype: torch.dtype, layers: Sequence[int] | None) -> Teacher:
    if config.source is None:
        return LogMelTeacher(config.name, config.mels, config.ahead)
    if config.kind == "speaker":
        contents, _ = read_contents(locate(config.source))
        return SpeakerTeacher(find_state_dict(contents, config.source), config.name)
    if config.kind == "reference":
        try:
            model = load(config.source, dtype=dtype)
        except UnsupportedCheckpointError:
            logger.info("%s is no model of this package: converting it", config.source)
            model = convert(config.source, bidirectional=True).to(dtype)
        return ReferenceTeacher(model, config.name, layers=layers, chunk_ms=config.chunk_ms)
    encoder = load_encoder(config.source, dtype)
    settings = preprocessor_settings(config.source)
    require_rate(settings, config.source)
    if hasattr(encoder, "embed_positions"):
        if config.normalize:
            raise ConfigError(
                f"the teacher {config.name!r} is a Whisper, which does not hear normalised audio"
            )
        return WhisperTeacher(encoder, config.name, layers=layers)
    normalize = config.normalize
    if normalize is None:
        if settings is None:
            raise ConfigError(
                f"{config.source!r} has no preprocessor_config.json that says whether the teacher "
                f"{config.name!r} wants normalised audio: give normalize: true (WavLM-Large, HuBERT-Large) "
                "or false (the base models)"
            )
        normalize = bool(settings.get("do_normalize", True))
    return WaveformTeacher(encoder, config.name, normalize=normalize, layers=layers)


def _dtype(config: TeacherConfig, default: torch.dtype) -> torch.dtype:
    if config.dtype is None:
        return default
    dtype = getattr(torch, config.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(
            f"dtype of the teacher {config.name!r} must be a floating-point type such as 'bfloat16', "
            f"got {config.dtype!r}"
        )
    return dtype
