"""The state of the packed engine: a record per stream, so that batches form and part without copying."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import StreamingWavLMConfig
from ..errors import StateError, StateMismatchError
from ..state import StreamState, initial_state, row_index
from .tape import Tape, TapeShape


@dataclass(frozen=True)
class PackedRow:
    """One stream.

    Attributes:
        position: frames emitted so far.
        conv: the last inputs of each front-end convolution, ``[pad, channels]``.
        pos_conv: the last inputs of the positional convolution, ``[conv_pos - 1, dim]``.
        tape: keys and values.
    """

    position: int
    conv: tuple[Tensor, ...]
    pos_conv: Tensor
    tape: Tape

    def nbytes(self) -> int:
        """Return the memory that the stream holds, in bytes."""
        small = sum(tensor.numel() * tensor.element_size() for tensor in (*self.conv, self.pos_conv))
        return small + self.tape.nbytes()


@dataclass(frozen=True)
class PackedState:
    """Streams as a packed engine keeps them; a value, as :class:`~streaming_wavlm.state.StreamState` is.

    Attributes:
        rows: the streams.
        blank: a stream that has not begun.
        fingerprint: the fingerprint of the config the state belongs to.
        config: that config.
    """

    rows: tuple[PackedRow, ...]
    blank: PackedRow
    fingerprint: str
    config: StreamingWavLMConfig

    @property
    def batch(self) -> int:
        """The number of streams."""
        return len(self.rows)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the state."""
        return self.blank.tape.shape.dtype

    @property
    def position(self) -> Tensor:
        """Frames emitted so far, int64 ``[batch]``."""
        return torch.tensor([row.position for row in self.rows], dtype=torch.int64, device="cpu")

    def reset(self, rows: Tensor | Sequence[int]) -> PackedState:
        """Return the state with some streams back at their beginning; see :meth:`StreamState.reset`."""
        chosen = set(row_index(rows, self.batch).tolist())
        return self.with_rows([self.blank if i in chosen else row for i, row in enumerate(self.rows)])

    def select(self, rows: Tensor | Sequence[int]) -> PackedState:
        """Return the state of some streams, in the order given; see :meth:`StreamState.select`."""
        return self.with_rows([self.rows[i] for i in row_index(rows, self.batch).tolist()])

    @staticmethod
    def stack(states: Sequence[Any]) -> PackedState:
        """Return one state that holds the streams of all ``states``, in order.

        Args:
            states: the first a packed one, the others of whichever engine.

        Raises:
            StateError: there is no state to stack.
            StateMismatchError: the states belong to different configs.
        """
        if not states:
            raise StateError("there is no state to stack; give at least one")
        first: PackedState = states[0]
        if any(state.fingerprint != first.fingerprint for state in states):
            raise StateMismatchError("cannot stack states of different models; stack only states of one")
        packed = [PackedState.packed(state, first.config, first.dtype) for state in states]
        return first.with_rows([row for state in packed for row in state.rows])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> PackedState | StreamState:
        """Return the state in another floating-point type, or, in the model's form, on another device."""
        if device is not None and torch.device(device).type != "cpu":
            return self.unpacked().to(device, dtype)
        return PackedState.packed(self, self.config, dtype or self.dtype)

    def nbytes(self) -> int:
        """Return the memory that the streams hold, in bytes; what forks share counts for each."""
        return sum(row.nbytes() for row in self.rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the streams to a file that :meth:`StreamState.load` reads, for this or any other engine.

        Raises:
            StateError: the file cannot be written.
        """
        self.unpacked().save(path)

    def unpacked(self) -> StreamState:
        """Return the streams in the form that the model itself keeps."""
        state = initial_state(self.config, self.batch, torch.device("cpu"), self.dtype)
        for number, row in enumerate(self.rows):
            state.position[number] = row.position
            for target, source in zip(state.conv, row.conv, strict=True):
                target[number] = source.t()
            state.pos_conv[number] = row.pos_conv.t()
            frames = row.tape.frames
            for layer in range(self.config.num_layers if frames else 0):
                keys, values = row.tape.read(layer, frames)
                state.keys[layer][number, :, -frames:] = keys.transpose(1, 2)
                state.values[layer][number, :, -frames:] = values
        return state

    @classmethod
    def packed(cls, state: Any, config: StreamingWavLMConfig, dtype: torch.dtype) -> PackedState:
        """Take over streams of whichever form and type.

        Args:
            state: the streams, of this config.
            config: the model's config.
            dtype: floating-point type of the state.
        """
        if isinstance(state, PackedState) and state.dtype == dtype:
            return state
        state = state.unpacked()
        empty = cls.begin(config, 0, dtype)
        rows = []
        for number, position in enumerate(state.position.tolist()):
            frames = min(position, config.window_size)
            tape = empty.blank.tape
            if frames:
                tape = tape.extended(frames)
                for layer, (keys, values) in enumerate(zip(state.keys, state.values, strict=True)):
                    tape.write(
                        layer,
                        keys[number, :, -frames:].transpose(0, 1),
                        values[number, :, -frames:].transpose(0, 1),
                    )
            rows.append(
                PackedRow(
                    position,
                    tuple(conv[number].t().to("cpu", dtype).contiguous() for conv in state.conv),
                    state.pos_conv[number].t().to("cpu", dtype).contiguous(),
                    tape,
                )
            )
        return empty.with_rows(rows)

    @classmethod
    def begin(cls, config: StreamingWavLMConfig, batch: int, dtype: torch.dtype) -> PackedState:
        """Return streams that have not begun.

        Args:
            config: the model's config.
            batch: the number of streams.
            dtype: floating-point type of the state.
        """
        channels = (1, *config.hidden_dims[:-1])
        head_dim = config.dim // config.num_heads
        blank = PackedRow(
            0,
            tuple(
                torch.zeros(pad, width, dtype=dtype, device="cpu")
                for width, pad in zip(channels, config.front_pads, strict=True)
            ),
            torch.zeros(config.conv_pos - 1, config.dim, dtype=dtype, device="cpu"),
            Tape(TapeShape(config.num_layers, config.num_heads, head_dim, config.window_size, dtype)),
        )
        return cls((blank,) * batch, blank, config.fingerprint(), config)

    def with_rows(self, rows: Sequence[PackedRow]) -> PackedState:
        """Return a state of the same model with other streams."""
        return PackedState(tuple(rows), self.blank, self.fingerprint, self.config)
