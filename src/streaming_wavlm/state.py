"""The state of a batch of streams, as an immutable value."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .config import StreamingWavLMConfig
from .errors import StateError, StateMismatchError
from .files import replacing

_FORMAT = "streaming_wavlm.state.v1"

# Of everything but positions.
_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

# A state in the model's own form or in an engine's.
AnyState = TypeVar("AnyState")


@dataclass(frozen=True)
class StreamState:
    """What a model must remember of each stream; every tensor has the batch first.

    Keep a reference to fork a stream: no operation changes a state in place.

    Attributes:
        position: frames emitted so far, int64 ``[batch]``.
        conv: the last inputs of each front-end convolution, ``[batch, channels, pad]``.
        pos_conv: the last inputs of the positional convolution, ``[batch, dim, conv_pos - 1]``.
        keys: the last keys of each layer, ``[batch, heads, window, head_dim]``, newest last.
        values: the last values of each layer, shaped as ``keys``.
        fingerprint: the fingerprint of the config the state belongs to.
    """

    position: Tensor
    conv: tuple[Tensor, ...]
    pos_conv: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    fingerprint: str

    @property
    def batch(self) -> int:
        """The number of streams."""
        return self.position.shape[0]

    def reset(self, rows: Tensor | Sequence[int]) -> StreamState:
        """Return the state with some streams back at their beginning.

        Args:
            rows: a bool mask ``[batch]`` or the indices of the streams to reset.

        Raises:
            StateError: a row does not exist.
        """
        mask = self._mask(rows)
        return self._map(lambda tensor: tensor.masked_fill(_rows_like(mask, tensor), 0))

    def select(self, rows: Tensor | Sequence[int]) -> StreamState:
        """Return the state of some streams, in the order given.

        Args:
            rows: a bool mask ``[batch]`` or indices; an index may occur more than once.

        Raises:
            StateError: a row does not exist.
        """
        index = row_index(rows, self.batch, self.position.device)
        return self._map(lambda tensor: tensor.index_select(0, index))

    @staticmethod
    def stack(states: Sequence[AnyState]) -> AnyState:
        """Return one state that holds the streams of all ``states``, in order.

        Args:
            states: of one model, in this form or in an engine's own; the result has the form of the first.

        Raises:
            StateError: there is no state to stack.
            StateMismatchError: the states belong to different configs.
        """
        if not states:
            raise StateError("there is no state to stack; give at least one")
        given: Sequence[Any] = states
        prints = {state.fingerprint for state in given}
        if len(prints) > 1:
            raise StateMismatchError(
                f"cannot stack states of different configs ({', '.join(sorted(prints))}); "
                "stack only states made by one model"
            )
        join = _joined if isinstance(given[0], StreamState) else given[0].stack
        stacked: AnyState = join(given)
        return stacked

    def where(self, active: Tensor, other: StreamState) -> StreamState:
        """Return this state in the rows where ``active`` (bool ``[batch]``) is True, ``other`` elsewhere."""
        pairs = zip(self.tensors(), other.tensors(), strict=True)
        return self.with_tensors([torch.where(_rows_like(active, new), new, old) for new, old in pairs])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> StreamState:
        """Return the state on another device or in another floating-point type (positions stay int64)."""
        return self._map(
            lambda tensor: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        )

    def unpacked(self) -> StreamState:
        """Return the state itself: an engine's own form of it returns this one."""
        return self

    def nbytes(self) -> int:
        """Return the memory that the state stands for, in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a safetensors file, whole or not at all.

        Args:
            path: the file; its folder must exist.

        Raises:
            StateError: the file cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        target = _place(path)
        tensors = {
            name: tensor.contiguous() for name, tensor in zip(self.names(), self.tensors(), strict=True)
        }
        metadata = {"format": _FORMAT, "fingerprint": self.fingerprint}
        try:
            with replacing(target) as temporary:
                save_file(tensors, temporary, metadata=metadata)
        except (OSError, SafetensorError) as error:  # the latter wraps the system's
            raise StateError(f"cannot write the stream state to {target}: {error}") from error

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        config: StreamingWavLMConfig,
        device: torch.device | str | None = None,
    ) -> StreamState:
        """Read a state that :meth:`save` wrote.

        Args:
            path: the file.
            config: the config of the model that will go on with the streams.
            device: where to put the tensors; the CPU when None.

        Raises:
            StateError: the file is missing, is no state, or holds values that no state has.
            StateMismatchError: the state belongs to another config.
        """
        from safetensors import SafetensorError, safe_open

        source = _place(path)
        try:
            with safe_open(source, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        except (OSError, SafetensorError) as error:
            raise StateError(f"cannot read a stream state from {source}: {error}") from error
        if metadata.get("format") != _FORMAT:
            raise StateError(
                f"{source} is no stream state of this version: its format is {metadata.get('format')!r}, "
                f"expected {_FORMAT!r}; write states with StreamState.save"
            )
        check_fingerprint(metadata.get("fingerprint", ""), config)
        batch = tensors["position"].shape[:1].numel() if "position" in tensors else 0
        expected = initial_state(config, batch, torch.device("meta"), torch.float32)
        shapes = {n: t.shape for n, t in zip(expected.names(), expected.tensors(), strict=True)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise StateError(f"{source} does not hold the tensors of a state of this config; it is damaged")
        for name, tensor in tensors.items():
            _check_values(source, name, tensor)
        return expected.with_tensors([tensors[name] for name in shapes]).to(device=device)

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order of :meth:`names`."""
        return [self.position, *self.conv, self.pos_conv, *self.keys, *self.values]

    def names(self) -> list[str]:
        """Return the name of each tensor, as in a file."""
        return [
            "position",
            *(f"conv.{i}" for i in range(len(self.conv))),
            "pos_conv",
            *(f"keys.{i}" for i in range(len(self.keys))),
            *(f"values.{i}" for i in range(len(self.values))),
        ]

    def with_tensors(self, tensors: Sequence[Tensor]) -> StreamState:
        """Return a state of the same config with other tensors, in the order of :meth:`names`."""
        convs, layers = len(self.conv), len(self.keys)
        rest = tensors[convs + 2 :]
        return replace(
            self,
            position=tensors[0],
            conv=tuple(tensors[1 : convs + 1]),
            pos_conv=tensors[convs + 1],
            keys=tuple(rest[:layers]),
            values=tuple(rest[layers:]),
        )

    def _map(self, function: Callable[[Tensor], Tensor]) -> StreamState:
        return self.with_tensors([function(tensor) for tensor in self.tensors()])

    def _mask(self, rows: Tensor | Sequence[int]) -> Tensor:
        mask = torch.zeros(self.batch, dtype=torch.bool, device=self.position.device)
        mask[row_index(rows, self.batch, self.position.device)] = True
        return mask


def initial_state(
    config: StreamingWavLMConfig,
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
    window: int | None = None,
) -> StreamState:
    """Return the state of streams that have not begun.

    Args:
        config: the model's config.
        batch: the number of streams.
        device: where the tensors live.
        dtype: the floating-point type of the model.
        window: key/value slots per layer; the config's window when None.
    """
    slots = config.window_size if window is None else window
    head_dim = config.dim // config.num_heads
    channels = (1, *config.hidden_dims[:-1])

    def empty(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, device=device, dtype=dtype)

    def caches() -> tuple[Tensor, ...]:
        return tuple(empty(config.num_heads, slots, head_dim) for _ in range(config.num_layers))

    return StreamState(
        position=torch.zeros(batch, dtype=torch.int64, device=device),
        conv=tuple(empty(width, pad) for width, pad in zip(channels, config.front_pads, strict=True)),
        pos_conv=empty(config.dim, config.conv_pos - 1),
        keys=caches(),
        values=caches(),
        fingerprint=config.fingerprint(),
    )


def row_index(rows: Tensor | Sequence[int], batch: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the streams that a choice of rows names, as indices, int64.

    Args:
        rows: a bool mask ``[batch]`` or indices.
        batch: the number of streams.
        device: where the indices are to be.

    Raises:
        StateError: a row does not exist.
    """
    index = torch.as_tensor(rows, device=device)
    if index.dtype == torch.bool:
        if index.shape != (batch,):
            raise StateError(f"a row mask must have shape [{batch}], got {list(index.shape)}")
        return index.nonzero()[:, 0]
    index = index.reshape(-1).long()
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= batch):
        raise StateError(f"rows must be between 0 and {batch - 1}, got {index.tolist()}")
    return index


def check_fingerprint(fingerprint: str, config: StreamingWavLMConfig) -> None:
    """Refuse a state of another config.

    Raises:
        StateMismatchError: the fingerprints differ.
    """
    if fingerprint != config.fingerprint():
        raise StateMismatchError(
            f"the stream state belongs to a model of another config (fingerprint {fingerprint or 'missing'}, "
            f"this model's is {config.fingerprint()}); go on with the model and chunk size that made it"
        )


def _place(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # nobody's home
        raise StateError(f"{path} names no home that there is ({error}); give the folder itself") from error


def _check_values(source: Path, name: str, tensor: Tensor) -> None:
    if name == "position":
        allowed, sound = "int64, none negative", tensor.dtype == torch.int64 and bool((tensor >= 0).all())
    else:
        allowed = f"finite, one of {', '.join(map(str, _TYPES))}"
        sound = tensor.dtype in _TYPES and bool(tensor.isfinite().all())
    if not sound:
        raise StateError(
            f"{source}: {name} ({tensor.dtype}) holds what no state has ({allowed}): it is damaged, or was "
            "made of audio with NaN in it; begin the stream anew"
        )


def _joined(states: Sequence[Any]) -> Any:
    """Return the streams of all states in the model's own form, where the first is."""
    first: StreamState = states[0]
    device = first.position.device
    own = [state if isinstance(state, StreamState) else state.unpacked().to(device) for state in states]
    leaves = zip(*(state.tensors() for state in own), strict=True)
    return first.with_tensors([torch.cat(tensors) for tensors in leaves])


def _rows_like(mask: Tensor, tensor: Tensor) -> Tensor:
    """Reshape a ``[batch]`` mask so that it broadcasts over ``tensor``."""
    return mask.reshape(-1, *(1,) * (tensor.ndim - 1))


def _flatten(state: StreamState) -> tuple[list[Any], str]:
    return [state.position, state.conv, state.pos_conv, state.keys, state.values], state.fingerprint


def _flatten_with_keys(state: StreamState) -> tuple[list[Any], str]:
    children, context = _flatten(state)
    names = ("position", "conv", "pos_conv", "keys", "values")
    return [(pytree.GetAttrKey(name), child) for name, child in zip(names, children, strict=True)], context


def _unflatten(children: Any, fingerprint: str) -> StreamState:
    position, conv, pos_conv, keys, values = children
    return StreamState(position, conv, pos_conv, keys, values, fingerprint)


pytree.register_pytree_node(
    StreamState,
    _flatten,
    _unflatten,
    serialized_type_name="streaming_wavlm.StreamState",
    to_dumpable_context=str,
    from_dumpable_context=str,
    flatten_with_keys_fn=_flatten_with_keys,
)
