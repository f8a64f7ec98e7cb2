"""The decision at every frame of a causal pooled head."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import SuperbError
from .pooling import RunningMean, RunningStatistics


def decisions(model: Any, frames: Tensor) -> Tensor:
    """Return what the head says at every frame, from the frames up to it.

    Args:
        model: of S3PRL's expert (``expert.model``), built from a causal config and in ``eval`` mode.
        frames: what the expert gives it: projected features, ``[batch, time, dim]``.

    Returns:
        Logits, or embeddings of speakers, ``[batch, time, classes]``.

    Raises:
        SuperbError: the head pools over whole utterances, or does not pool.
    """
    pooling = getattr(model, "pooling", None) or getattr(model, "agg_method", None)
    if isinstance(pooling, RunningMean):
        if model.pre_net is not None:
            frames, _ = model.pre_net(frames)
        logits: Tensor = model.post_net(pooling.running(frames))[0]
        return logits
    if isinstance(pooling, RunningStatistics):
        statistics = pooling.running(model.framelevel_feature_extractor(frames, None))
        embedding: Tensor = model.utterancelevel_feature_extractor.inference(statistics)
        return embedding
    raise SuperbError(
        f"{type(model).__name__} with {type(pooling).__name__} decides nothing before the "
        "end of an utterance; "
        "build it with --heads causal"
    )
