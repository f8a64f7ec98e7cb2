"""The transformer: positional embedding, then pre-norm layers that share one relative position bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import GatedAttention, KeyValue, RelativeBias
from .config import StreamingWavLMConfig
from .conv import PositionalEmbedding
from .visibility import visible_keys


class FeedForward(nn.Module):
    """The position-wise network of a layer."""

    def __init__(self, dim: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.in_proj = nn.Linear(dim, ffn_dim)
        self.out_proj = nn.Linear(ffn_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``[batch, frames, dim]`` to the same shape."""
        hidden = self.dropout(F.gelu(self.in_proj(inputs)))
        outputs: Tensor = self.dropout(self.out_proj(hidden))
        return outputs


class EncoderLayer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: StreamingWavLMConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = GatedAttention(config.dim, config.num_heads, config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward_norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config.dim, config.ffn_dim, config.dropout)

    def forward(
        self, inputs: Tensor, bias: Tensor, visible: Tensor, past: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        """Run the layer; arguments and returns as of :meth:`GatedAttention.forward`."""
        attended, present = self.attention(self.attention_norm(inputs), bias, visible, past)
        hidden = inputs + self.dropout(attended)
        return hidden + self.feed_forward(self.feed_forward_norm(hidden)), present


@dataclass(frozen=True)
class Place:
    """Where one feed stands in its streams.

    Attributes:
        position: absolute position of the feed's first frame, int64 ``[batch]``.
        valid: frames that exist once the feed is in, int64 ``[batch]``; its frames past it are padding.
        block: frames per block of the visibility rule.
        chunk: frames per chunk of the visibility rule.
    """

    position: Tensor
    valid: Tensor
    block: int
    chunk: int


class Encoder(nn.Module):
    """The transformer stack over projected front-end features."""

    def __init__(self, config: StreamingWavLMConfig) -> None:
        super().__init__()
        self.window = config.window_size
        self.positional_embedding = PositionalEmbedding(config)
        self.relative_embedding = RelativeBias(config.num_buckets, config.num_heads, config.max_distance)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim) if config.final_norm else None

    def forward(
        self,
        inputs: Tensor,
        place: Place,
        context: Tensor,
        past: tuple[KeyValue, ...],
        keep: int | None = None,
    ) -> tuple[list[Tensor], Tensor, list[KeyValue]]:
        """Run the layers over one feed of a stream.

        Args:
            inputs: projected features ``[batch, frames, dim]``.
            place: where they stand.
            context: the positional convolution's left context.
            past: each layer's keys and values of the frames before, at most a window of them.
            keep: how many of the last keys and values to return; a window when None.

        Returns:
            The output of each layer ``[batch, frames, dim]``, the next feed's context, and each layer's keys
            and values of the last frames: as many as are to be kept, if there are.
        """
        keep = self.window if keep is None else keep
        frames, cached = inputs.shape[1], past[0][0].shape[2]
        embedding, context = self.positional_embedding(inputs, context, place.position == 0)
        hidden = self.dropout(inputs + embedding)
        visible = self._visible(place, frames, cached)
        bias = self.relative_embedding.by_distance(frames, cached + frames, cached)
        outputs, kept = [], []
        for layer, layer_past in zip(self.layers, past, strict=True):
            hidden, (key, value) = layer(hidden, bias, visible, layer_past)
            outputs.append(hidden)
            kept.append((key[:, :, -keep:], value[:, :, -keep:]))
        return outputs, context, kept

    def bidirectional(self, inputs: Tensor, valid: Tensor) -> list[Tensor]:
        """Run the layers of the bidirectional reference over whole recordings.

        Args:
            inputs: projected features ``[batch, frames, dim]``.
            valid: frames of each recording, int64 ``[batch]``.

        Returns:
            The output of each layer, the last normalised if the config has ``final_norm``.
        """
        frames = inputs.shape[1]
        present = torch.arange(frames, device=inputs.device) < valid[:, None]
        inputs = inputs * present[:, :, None]
        hidden = self.dropout(inputs + self.positional_embedding.centred(inputs))
        bias = self.relative_embedding.by_distance(frames, frames, 0)
        outputs = []
        for layer in self.layers:
            hidden, _ = layer(hidden, bias, present[:, None, None, :], None)
            outputs.append(hidden)
        if self.norm is not None:
            outputs[-1] = self.norm(outputs[-1])
        return outputs

    def _visible(self, place: Place, frames: int, cached: int) -> Tensor:
        steps = torch.arange(-cached, frames, device=place.position.device)
        keys = place.position[:, None] + steps
        valid = place.valid[:, None]
        return visible_keys(keys[:, cached:], keys, valid, place.block, place.chunk, self.window)[:, None]
