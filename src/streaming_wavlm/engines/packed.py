"""The packed engine: the same arithmetic on the CPU, arranged for the few rows of a streaming step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoder import EncoderLayer
from ..model import StreamingWavLM
from ..streaming import Feed
from .attention import Biases, PackedAttention, Rule
from .base import Engine
from .front_end import PackedFrontEnd, PackedPositional
from .linear import Arithmetic, Precision, product
from .packed_state import PackedRow, PackedState
from .tape import Tape


class PackedLayer:
    """One pre-norm transformer layer.

    Args:
        layer: the model's.
        arithmetic: its types.
        rows: frames of a usual feed.
    """

    def __init__(self, layer: EncoderLayer, arithmetic: Arithmetic, rows: int) -> None:
        self._attention_norm = _norm(layer.attention_norm, arithmetic.wide)
        self._attention = PackedAttention(layer.attention, arithmetic, rows)
        self._feed_forward_norm = _norm(layer.feed_forward_norm, arithmetic.wide)
        inner, outer = layer.feed_forward.in_proj, layer.feed_forward.out_proj
        self._inner = product(inner.weight, inner.bias, arithmetic, rows, gelu=True)
        self._outer = product(outer.weight, outer.bias, arithmetic, rows)

    def __call__(self, hidden: Tensor, layer: int, tapes: Sequence[Tape], biases: Sequence[Tensor]) -> Tensor:
        """Map ``[batch * frames, dim]`` to the same; arguments as of :class:`PackedAttention`."""
        width = (hidden.shape[1],)
        normed = F.layer_norm(hidden, width, *self._attention_norm)
        hidden = hidden + self._attention(normed.to(self._attention.dtype), layer, tapes, biases)
        normed = F.layer_norm(hidden, width, *self._feed_forward_norm)
        hidden += self._outer(self._inner(normed.to(self._inner.dtype)))
        return hidden


class PackedModel(Engine[PackedState]):
    """A causal model for the CPU whose weights are laid out once and whose caches are never copied.

    Args:
        model: the model; its weights are copied, and it may be dropped.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"`` (the layers' products in int8, the rest bf16).
        arithmetic: the types to compute in, instead of those of the precision.

    Raises:
        ConfigError: the model is bidirectional.
        EngineError: this build of torch or this processor cannot compute so.
    """

    name = "packed"

    def __init__(
        self, model: StreamingWavLM, precision: Precision = "fp32", *, arithmetic: Arithmetic | None = None
    ) -> None:
        super().__init__(model, precision)
        self.arithmetic = arithmetic or Arithmetic.of(precision, model.dtype)
        config, kinds = self.config, self.arithmetic
        rows = config.chunk_frames
        with torch.inference_mode():
            self._front_end = PackedFrontEnd(model.feature_extractor, kinds, rows)
            self._norm = _norm(model.norm, kinds.narrow)
            projection = model.feature_proj
            narrow = Arithmetic(kinds.wide, kinds.narrow, plain=kinds.plain)
            self._projection = product(projection.weight, projection.bias, narrow, rows)
            encoder = model.encoder
            self._positional = PackedPositional(encoder.positional_embedding, kinds, rows)
            self._biases = Biases(encoder.relative_embedding, kinds.wide)
            self._layers = [
                PackedLayer(layer, kinds, rows) for layer in encoder.layers if isinstance(layer, EncoderLayer)
            ]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of audio and features."""
        return self.arithmetic.wide

    def _begin(self, batch: int) -> PackedState:
        return PackedState.begin(self.config, batch, self.arithmetic.narrow)

    def _adopt(self, state: Any) -> PackedState:
        return PackedState.packed(state, self.config, self.arithmetic.narrow)

    def _advance(
        self, feed: Feed, state: PackedState, layers: Sequence[int]
    ) -> tuple[list[Tensor], PackedState]:
        with torch.inference_mode():
            hidden, after = self._moved(feed, state, layers)
        if torch.is_inference_mode_enabled():
            return hidden, after
        # Copied out here they are ordinary tensors, which may train a head.
        return [layer.clone() for layer in hidden], after

    def _moved(
        self, feed: Feed, state: PackedState, layers: Sequence[int]
    ) -> tuple[list[Tensor], PackedState]:
        counts = feed.frames.tolist()
        moving = [row for row, count in enumerate(counts) if count]
        samples = feed.samples if len(moving) == len(counts) else feed.samples[moving]
        if len(moving) == len(counts) and moving:
            outputs, rows = self._run(samples, list(state.rows), counts, layers)
            return outputs, state.with_rows(rows)
        hops = samples.shape[1] // self.config.hop
        hidden = [samples.new_zeros(len(counts), hops, self.config.dim) for _ in layers]
        if not moving:
            return hidden, state
        outputs, rows = self._run(
            samples, [state.rows[i] for i in moving], [counts[i] for i in moving], layers
        )
        for target, source in zip(hidden, outputs, strict=True):
            target[moving] = source
        moved = dict(zip(moving, rows, strict=True))
        return hidden, state.with_rows([moved.get(i, row) for i, row in enumerate(state.rows)])

    def _run(
        self, samples: Tensor, rows: list[PackedRow], counts: list[int], layers: Sequence[int]
    ) -> tuple[list[Tensor], list[PackedRow]]:
        """Push the feeds of some streams through the network, ``[batch, hops * 320]``."""
        config, kinds = self.config, self.arithmetic
        batch, hops = len(rows), samples.shape[1] // config.hop
        fresh = [row.position == 0 for row in rows]
        features, contexts = self._front_end(samples, [row.conv for row in rows], fresh)
        normed = F.layer_norm(features, (features.shape[2],), *self._norm)
        inputs = self._projection(normed.flatten(0, 1)).view(batch, hops, config.dim)
        embedding, heard = self._positional(inputs, [row.pos_conv for row in rows], fresh)
        hidden = inputs.to(kinds.wide) + embedding
        rule = Rule(config.block_frames, config.chunk_frames, config.window_size)
        tapes: list[Tape] = []
        biases: list[Tensor] = []
        after = []
        for row, count, conv, context in zip(rows, counts, contexts, heard, strict=True):
            tape = row.tape.extended(hops)
            tapes.append(tape)
            biases.append(self._biases(row.position, hops, count, tape.frames, rule))
            after.append(PackedRow(row.position + hops, conv, context, tape.trimmed()))
        flat = hidden.view(batch * hops, config.dim)
        kept: dict[int, Tensor] = {}
        for number, layer in enumerate(self._layers):
            flat = layer(flat, number, tapes, biases)
            if number in layers:
                kept[number] = flat.view(batch, hops, config.dim)
        return [kept[number] for number in layers], after


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return norm.weight.detach().to(dtype, copy=True), norm.bias.detach().to(dtype, copy=True)
