"""Whether a head fits a model: its shape must, and its weights had better."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import HeadError
from ..streaming import Streaming
from .head import Head

logger = logging.getLogger(__name__)


def require_fit(head: Head, model: Streaming[Any]) -> None:
    """Require that a head can hear a model's features, and warn if they are not those it was trained on.

    Raises:
        HeadError: the model has another width, or other layers, or lacks the one that the head hears.
    """
    wanted, config = head.config, model.config
    layers = wanted.layers or config.num_layers
    if (wanted.dim, layers) != (config.dim, config.num_layers):
        raise HeadError(
            f"the head {wanted.name!r} hears {layers} layers of width {wanted.dim}, and the model has "
            f"{config.num_layers} of width {config.dim}; serve the checkpoint that it was trained on"
        )
    if not wanted.layers and not -config.num_layers <= wanted.layer < config.num_layers:
        raise HeadError(
            f"the head {wanted.name!r} hears layer {wanted.layer}, and the model has {config.num_layers}, "
            f"from {-config.num_layers} to {config.num_layers - 1}; "
            "serve the checkpoint that it was trained on"
        )
    if wanted.weights is not None and wanted.weights != model.mark():
        logger.warning(
            "the head %s was trained on the features of other weights than this checkpoint's: what it says "
            "may mean nothing; train it anew on this one",
            wanted.name,
        )
