"""Which frames a frame may attend to: the one rule behind training, the offline pass and streaming."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import StreamingWavLMConfig


def visible_end(frames: Tensor, valid: Tensor, block: int, chunk: int) -> Tensor:
    """Return the frame before which each frame's view ends.

    Args:
        frames: absolute frame positions, int64 ``[batch, frames]``.
        valid: frames that exist in each stream so far, int64 ``[batch, 1]``.
        block: frames per block, ``1 + lookahead``.
        chunk: frames per chunk.

    Returns:
        ``min(block_end, chunk_end, valid)``, int64 ``[batch, frames]``.
    """
    block_end = (frames // block + 1) * block
    chunk_end = (frames // chunk + 1) * chunk
    return block_end.minimum(chunk_end).minimum(valid)


def visible_keys(queries: Tensor, keys: Tensor, valid: Tensor, block: int, chunk: int, window: int) -> Tensor:
    """Return which keys each query may attend to.

    Args:
        queries: absolute positions of the queries, int64 ``[batch, queries]``.
        keys: absolute positions of the keys, int64 ``[batch, keys]``; negative where a cache slot is empty.
        valid: frames that exist in each stream so far, int64 ``[batch, 1]``.
        block: frames per block.
        chunk: frames per chunk.
        window: the most frames a query may attend to, counted back from the end of its view.

    Returns:
        bool ``[batch, queries, keys]``, True where the key is visible.
    """
    end = visible_end(queries, valid, block, chunk)
    start = (end - window).clamp(min=0)
    keys = keys[:, None, :]
    return (keys >= start[:, :, None]) & (keys < end[:, :, None])


def horizon(config: StreamingWavLMConfig, frame: int) -> int:
    """Return the first sample that can no longer change a frame, in a stream that goes on.

    Args:
        config: a causal config.
        frame: the frame's absolute position.

    Returns:
        Samples from the start of the stream: the frame depends on samples before this one only.
    """
    going_on = torch.tensor([[frame + config.chunk_frames]])
    end = int(visible_end(torch.tensor([[frame]]), going_on, config.block_frames, config.chunk_frames))
    # The last visible frame hears one sample of its own hop with kernel-1 padding, all of it otherwise.
    heard = 1 if config.front_pad == "kernel-1" else config.hop
    return (end - 1) * config.hop + heard
