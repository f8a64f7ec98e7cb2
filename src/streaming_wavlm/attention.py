"""Self-attention with WavLM's gated relative position bias (arXiv 2110.13900, section 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]


def relative_buckets(distances: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each distance: exact when near, logarithmic when far (arXiv 1910.10683).

    Args:
        distances: key position minus query position in frames, int64, any shape.
        num_buckets: buckets in all; the upper half serves keys after the query.
        max_distance: distance from which all keys share the last bucket.

    Returns:
        Bucket indices, int64, shaped as ``distances``.
    """
    half = num_buckets // 2
    exact = half // 2
    away = distances.abs()
    # float32 as in every published WavLM: at a bucket's edge another precision may round to its neighbour.
    scale = torch.log(away.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + scale * (half - exact)).long().clamp(max=half - 1)
    return torch.where(away < exact, away, far) + half * (distances > 0)


class RelativeBias(nn.Embedding):
    """The relative position bias, one table shared by the layers."""

    def __init__(self, num_buckets: int, num_heads: int, max_distance: int) -> None:
        super().__init__(num_buckets, num_heads)
        self.max_distance = max_distance

    def reset_parameters(self) -> None:
        """Draw the table anew; on the meta device, where nothing is stored, do nothing.

        There torch's ``normal_`` imports the compiler: 70 MiB and a second for every process that loads one.
        """
        if not self.weight.is_meta:
            super().reset_parameters()

    def by_distance(self, queries: int, keys: int, cached: int) -> Tensor:
        """Return the bias of every query and key of one feed.

        It depends on their distance alone: one vector per head is computed and gathered.

        Args:
            queries: frames of the feed.
            keys: frames that may be attended to: ``cached + queries``.
            cached: frames before the feed's first.

        Returns:
            ``[heads, queries, keys]``.
        """
        device = self.weight.device
        distances = torch.arange(-(cached + queries - 1), keys - cached, device=device)
        vector = self(relative_buckets(distances, self.num_embeddings, self.max_distance)).t()
        query = torch.arange(queries, device=device)[:, None]
        key = torch.arange(keys, device=device)[None, :]
        bias: Tensor = vector[:, key - query + queries - 1]
        return bias


class GatedAttention(nn.Module):
    """Multi-head attention whose relative position bias is gated by each query."""

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.gru_rel_pos_linear = nn.Linear(dim // num_heads, 8)
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, num_heads, 1, 1))

    def forward(
        self, inputs: Tensor, bias: Tensor, visible: Tensor, past: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        """Attend from each input to the visible frames, past and present.

        Args:
            inputs: ``[batch, frames, dim]``.
            bias: relative position bias ``[heads, frames, keys]``.
            visible: bool ``[batch, 1, frames, keys]``.
            past: keys and values of earlier frames, each ``[batch, heads, cached, head_dim]``; None for none.

        Returns:
            ``[batch, frames, dim]``, and the keys and values, past and present.
        """
        batch, frames, dim = inputs.shape
        # The width in full: torch cannot infer it of an empty batch.
        shape = (batch, frames, 3, self.num_heads, dim // self.num_heads)
        qkv = self.qkv_proj(inputs).view(shape).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind()
        if past is not None:
            key = torch.cat([past[0], key], dim=2)
            value = torch.cat([past[1], value], dim=2)
        scores = (self.gate(inputs) * bias).to(query.dtype)
        # Finite, for a padding frame sees nothing; half the lowest, so that adding a score stays in range.
        scores = scores.masked_fill(~visible, torch.finfo(query.dtype).min / 2)
        outputs = F.scaled_dot_product_attention(
            query,
            key.to(query.dtype),
            value.to(query.dtype),
            attn_mask=scores,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out_proj(outputs.transpose(1, 2).reshape(batch, frames, dim)), (key, value)

    def gate(self, inputs: Tensor) -> Tensor:
        """Return how strongly each query of each head feels the bias, ``[batch, heads, frames, 1]``."""
        batch, frames, dim = inputs.shape
        heads = inputs.view(batch, frames, self.num_heads, dim // self.num_heads).transpose(1, 2)
        halves = self.gru_rel_pos_linear(heads).view(batch, self.num_heads, frames, 2, 4).sum(-1)
        gates = torch.sigmoid(halves)
        update, reset = gates[..., :1], gates[..., 1:]
        gate: Tensor = update * (reset * self.gru_rel_pos_const - 1.0) + 2.0
        return gate
