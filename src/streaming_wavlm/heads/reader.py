"""The heads of one stream: they hear its chunks, and say what they make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .head import Decision, Head, HeadState

# Of a pooled head's classes, the likeliest are told.
TOLD = 5
_DIGITS = 4


class HeadReader:
    """Goes through a stream with some heads; the state is the caller's to keep.

    Args:
        heads: by their names.
    """

    def __init__(self, heads: Mapping[str, Head]) -> None:
        self._heads = dict(heads)

    def begin(self) -> dict[str, HeadState]:
        """Return the state of a stream of which nothing was heard."""
        return {name: head.begin() for name, head in self._heads.items()}

    def advance(
        self, hidden: Sequence[Tensor], state: Mapping[str, HeadState], *, position: int
    ) -> tuple[list[dict[str, Any]], dict[str, HeadState]]:
        """Hear a chunk.

        Args:
            hidden: all hidden states of the model, each ``[frames, dim]``.
            state: after the chunk before; it is left as it is.
            position: of the chunk's first frame.

        Returns:
            The fields of a ``head`` message for each head, and the state after the chunk; no messages of a
            chunk without frames.
        """
        if not len(hidden[0]):
            return [], dict(state)
        said, after = [], {}
        for name, head in self._heads.items():
            decision, after[name] = head.advance(hidden, state[name])
            said.append(told(head, decision, position, position + len(hidden[0])))
        return said, after


def told(head: Head, decision: Decision, begin: int, end: int) -> dict[str, Any]:
    """Return the fields of a ``head`` message.

    Args:
        head: who says it.
        decision: what it says.
        begin: the chunk's first frame.
        end: the frame after its last.
    """
    config = head.config
    values = decision.values.cpu()
    fields: dict[str, Any] = {"name": config.name, "kind": config.kind, "position": end}
    if config.kind == "pooled":
        fields["heard"] = decision.heard
        parts = torch.split(values, [len(slot.labels) for slot in config.slots])
        fields["slots"] = [
            {"name": slot.name, **_likeliest(slot.labels, part)}
            for slot, part in zip(config.slots, parts, strict=True)
        ]
        return fields
    labels = config.slots[0].labels
    fields["begin"] = begin
    if config.kind == "frames":
        shares, places = values.max(dim=-1)
        fields["labels"] = [labels[place] for place in places.tolist()]
        fields["scores"] = _rounded(shares)
    else:
        fields["scores"] = {label: _rounded(values[:, place]) for place, label in enumerate(labels)}
    return fields


def _likeliest(labels: Sequence[str], shares: Tensor) -> dict[str, Any]:
    best, places = shares.topk(min(TOLD, len(labels)))
    scores = dict(zip((labels[place] for place in places.tolist()), _rounded(best), strict=True))
    return {"label": labels[int(places[0])], "scores": scores}


def _rounded(values: Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]
