"""Attention of each stream's feed over its tape: the bias is gathered once, what is hidden struck out."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..attention import GatedAttention, RelativeBias
from ..errors import EngineError
from ..visibility import visible_end, visible_keys
from .linear import Arithmetic, product
from .tape import Tape

# Biases that are kept: a growing stream goes through one for each of its first chunks.
_KEPT = 64
# What a struck-out key is scored: far below all others, yet finite after a gate has scaled it, for a padding
# frame sees nothing and its softmax must still be a number.
_STRUCK_OUT = -1e30


class Rule(NamedTuple):
    """The visibility rule: frames per block, per chunk, and in the window."""

    block: int
    chunk: int
    window: int


class Biases:
    """The relative position bias of a feed, with what its frames may not see struck out.

    It depends on how the feed lies on the grid of blocks and how many keys there are, not on the position:
    a stream past its window meets a few of them again and again.

    Args:
        table: the model's relative embedding.
        dtype: of the bias.
    """

    def __init__(self, table: RelativeBias, dtype: torch.dtype) -> None:
        self._table = copy.deepcopy(table).requires_grad_(False)
        self._dtype = dtype
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()

    def __call__(self, position: int, frames: int, valid: int, keys: int, rule: Rule) -> Tensor:
        """Return the bias of a feed ``[heads, frames, keys]``, over no more keys than it needs.

        Args:
            position: the absolute position of the feed's first frame.
            frames: frames of the feed.
            valid: those that exist.
            keys: frames that there are, the newest last, the feed's own among them.
            rule: who may see whom.
        """
        # The first frame's view begins a window before its end; what lies before that nobody sees.
        first = torch.tensor([[position]], device="cpu")
        end = int(visible_end(first, first + valid, rule.block, rule.chunk))
        keys = min(keys, position + frames - max(0, end - rule.window))
        name = (position % rule.block, position % rule.chunk, frames, valid, keys, *rule)
        found = self._kept.pop(name, None)
        if found is None:
            found = self._made(position, frames, valid, keys, rule)
        self._kept[name] = found
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def _made(self, position: int, frames: int, valid: int, keys: int, rule: Rule) -> Tensor:
        bias = self._table.by_distance(frames, keys, keys - frames).to(self._dtype)
        queries = torch.arange(position, position + frames, device="cpu")[None]
        present = torch.arange(position + frames - keys, position + frames, device="cpu")[None]
        end = torch.tensor([[position + valid]], device="cpu")
        visible = visible_keys(queries, present, end, *rule)
        return bias.masked_fill(~visible, _STRUCK_OUT).contiguous()


def gates_refused(attention: GatedAttention) -> EngineError | None:
    """Return why the gates of a layer cannot be packed, as an error to raise; None if they can."""
    lowest = float(attention.gru_rel_pos_const.detach().min())
    if lowest > -1:
        return None
    return EngineError(
        "a gate of this model may turn the sign of the position bias (gru_rel_pos_const is "
        f'{lowest:.3g}, above -1 is needed): use engine="eager"'
    )


class PackedAttention:
    """Self-attention with the gated bias, over tapes.

    Args:
        attention: the model's.
        arithmetic: its types.
        rows: frames of a usual feed.

    Raises:
        EngineError: a gate of the model may be negative.
    """

    def __init__(self, attention: GatedAttention, arithmetic: Arithmetic, rows: int) -> None:
        self._heads = attention.num_heads
        self._wide, self._narrow = arithmetic.wide, arithmetic.narrow
        refusal = gates_refused(attention)
        if refusal is not None:
            raise refusal
        self._reset = attention.gru_rel_pos_const.detach().to(arithmetic.wide, copy=True).view(self._heads)
        dim = attention.out_proj.in_features
        weight, bias = attention.qkv_proj.weight.detach().clone(), attention.qkv_proj.bias.detach().clone()
        # Queries come out scaled.
        scale = (dim // self._heads) ** -0.5
        weight[:dim] *= scale
        bias[:dim] *= scale
        # The gates ride along: their own product would cost a tenth of this one.
        gate, gate_bias = _gate_rows(attention.gru_rel_pos_linear, self._heads)
        self._project = product(torch.cat([weight, gate]), torch.cat([bias, gate_bias]), arithmetic, rows)
        self._out = product(attention.out_proj.weight, attention.out_proj.bias, arithmetic, rows)

    @property
    def dtype(self) -> torch.dtype:
        """The type that goes in."""
        return self._project.dtype

    def __call__(self, inputs: Tensor, layer: int, tapes: Sequence[Tape], biases: Sequence[Tensor]) -> Tensor:
        """Attend from each frame of a batch of feeds to what its stream's tape holds.

        Args:
            inputs: ``[batch * frames, dim]``.
            layer: which layer of the tapes it is, from 0.
            tapes: of each row, with room for the feed.
            biases: of each row, see :class:`Biases`.

        Returns:
            ``[batch * frames, dim]``.
        """
        total, dim = inputs.shape
        batch = len(tapes)
        frames = total // batch
        projected = self._project(inputs)
        gates = self._gates(projected[:, 3 * dim :]).view(batch, frames, self._heads, 1).transpose(1, 2)
        heads = projected[:, : 3 * dim].view(batch, frames, 3, self._heads, -1)
        outputs = inputs.new_empty(batch, frames, self._heads, dim // self._heads, dtype=self._out.dtype)
        for row, (tape, bias) in enumerate(zip(tapes, biases, strict=True)):
            query, key, value = heads[row].unbind(1)
            tape.write(layer, key, value)
            keys, values = tape.read(layer, bias.shape[2])
            query = query.transpose(0, 1).to(self._narrow)
            # What the bias strikes out stays so: the gates are positive.
            scores = gates[row] * bias
            scores += torch.bmm(query, keys)
            shares = torch.softmax(scores, dim=-1).to(self._narrow)
            outputs[row] = torch.bmm(shares, values).transpose(0, 1)
        return self._out(outputs.view(total, dim))

    def _gates(self, halves: Tensor) -> Tensor:
        """Return how strongly each frame's query of each head feels the bias, ``[frames, heads]``."""
        update, reset = halves.to(self._wide).sigmoid().chunk(2, dim=1)
        return update * (reset * self._reset - 1.0) + 2.0


def _gate_rows(gate: nn.Linear, heads: int) -> tuple[Tensor, Tensor]:
    """Return the gates of all heads as rows of one product over the layer's whole width.

    A gate adds up four outputs for each of its halves, so the sums of their weights do: first the rows of the
    first halves, then those of the second.
    """
    weight = gate.weight.detach().view(2, 4, -1).sum(1)
    rows = weight.new_zeros(2, heads, heads, weight.shape[1])
    for head in range(heads):
        rows[:, head, head] = weight
    return rows.flatten(2).flatten(0, 1), gate.bias.detach().view(2, 4).sum(1).repeat_interleave(heads)
