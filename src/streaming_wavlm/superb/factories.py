"""The six upstreams by name, as S3PRL's hub and ``torch.hub`` call them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Protocol

from ..errors import CheckpointNotFoundError, UnsupportedCheckpointError
from ..loading import load
from ..presets import UPSTREAMS
from .feature_cache import from_environment
from .upstream import UpstreamExpert

logger = logging.getLogger(__name__)

Checkpoint = str | os.PathLike[str] | None
ModelConfig = str | os.PathLike[str] | Mapping[str, Any] | None


class Factory(Protocol):
    """What builds an upstream."""

    __name__: str
    __qualname__: str

    def __call__(
        self, ckpt: Checkpoint = None, model_config: ModelConfig = None, refresh: bool = False, **options: Any
    ) -> UpstreamExpert:
        """Build the upstream; see :func:`build`."""
        ...


def build(name: str, ckpt: Checkpoint, model_config: ModelConfig = None) -> UpstreamExpert:
    """Return an upstream.

    Args:
        name: one of ``UPSTREAMS``; it says the chunk size, ``streaming_wavlm`` leaves that to the checkpoint.
        ckpt: a file, a folder, a Hugging Face hub id, or ``"mini"``.
        model_config: the architecture where the checkpoint does not say it: a YAML or JSON file, or a dict.

    Returns:
        The upstream; one that keeps its features on disk where ``STREAMING_WAVLM_FEATURES`` names a folder.

    Raises:
        CheckpointError: the checkpoint is not given, or cannot be used.
        ConfigError: the config cannot be used.
        SuperbError: the environment asks for a cache of no size.
    """
    if ckpt is None or not str(ckpt).strip():
        raise CheckpointNotFoundError(
            f"the upstream {name} needs a checkpoint and none was given (-k, or ckpt= in Python): `-k mini` "
            "is the embedded one; else give a .pt or .safetensors file, a folder or a Hugging Face hub id; "
            "`streaming-wavlm convert` makes one from WavLM-Large"
        )
    model = load(ckpt, config=model_config, chunk_ms=UPSTREAMS[name])
    if not model.config.causal:
        raise UnsupportedCheckpointError(
            f"{ckpt} is a bidirectional reference (causal: false), which has no chunks; "
            f"{name} needs a causal checkpoint: `streaming-wavlm convert` makes one from it"
        )
    return from_environment(UpstreamExpert(model))


def _factory(name: str) -> Factory:
    def factory(
        ckpt: Checkpoint = None, model_config: ModelConfig = None, refresh: bool = False, **options: Any
    ) -> UpstreamExpert:
        if refresh or options:
            # Files are read each time, and the hub's cache looks after itself.
            logger.debug("%s: refresh=%s and the options %s have no effect", name, refresh, sorted(options))
        return build(name, ckpt, model_config)

    chunk = UPSTREAMS[name]
    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = (
        f"Streaming WavLM in chunks of {f'{chunk} ms' if chunk else 'what its checkpoint says'}.\n\n"
        "    ckpt: a file, a folder, a Hugging Face hub id, or 'mini'\n"
        "    model_config: what the checkpoint does not say of its architecture (YAML, JSON or a dict)\n"
    )
    return factory


streaming_wavlm = _factory("streaming_wavlm")
streaming_wavlm_200ms = _factory("streaming_wavlm_200ms")
streaming_wavlm_400ms = _factory("streaming_wavlm_400ms")
streaming_wavlm_800ms = _factory("streaming_wavlm_800ms")
streaming_wavlm_1000ms = _factory("streaming_wavlm_1000ms")
streaming_wavlm_offline = _factory("streaming_wavlm_offline")
