"""What a model returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class WavLMOutput:
    """The features of a batch.

    Attributes:
        hidden_states: the output of each transformer layer, ``num_layers`` tensors ``[batch, frames, dim]``,
            zero past the end of a row.
        lengths: frames of each row, int64 ``[batch]``.
    """

    hidden_states: tuple[Tensor, ...]
    lengths: Tensor

    @property
    def last_hidden_state(self) -> Tensor:
        """The output of the last layer, ``[batch, frames, dim]``."""
        return self.hidden_states[-1]


def _flatten(output: WavLMOutput) -> tuple[list[Any], None]:
    return [output.hidden_states, output.lengths], None


def _flatten_with_keys(output: WavLMOutput) -> tuple[list[Any], None]:
    names = ("hidden_states", "lengths")
    children, _ = _flatten(output)
    return [(pytree.GetAttrKey(name), child) for name, child in zip(names, children, strict=True)], None


def _unflatten(children: Any, _: None) -> WavLMOutput:
    return WavLMOutput(*children)


pytree.register_pytree_node(
    WavLMOutput,
    _flatten,
    _unflatten,
    serialized_type_name="streaming_wavlm.WavLMOutput",
    to_dumpable_context=lambda _: "",
    from_dumpable_context=lambda _: None,
    flatten_with_keys_fn=_flatten_with_keys,
)
