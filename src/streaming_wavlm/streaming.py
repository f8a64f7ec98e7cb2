"""What every way to run a model has in common: checks, masks and the choice of layers around one feed."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_active, check_lengths, check_samples
from .config import StreamingWavLMConfig
from .errors import ConfigError, InputError, StateError
from .output import WavLMOutput
from .state import StreamState, check_fingerprint


class State(Protocol):
    """A batch of streams as an immutable value: :class:`StreamState`, or an engine's own form of it."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the config that the state belongs to."""

    @property
    def position(self) -> Tensor:
        """Frames emitted so far, int64 ``[batch]``."""

    @property
    def batch(self) -> int:
        """The number of streams."""

    def reset(self, rows: Tensor | Sequence[int]) -> Self:
        """Return the state with some streams back at their beginning."""

    def select(self, rows: Tensor | Sequence[int]) -> Self:
        """Return the state of some streams, in the order given."""

    def to(self, device: Any = None, dtype: Any = None) -> Any:
        """Return the state on another device or in another floating-point type."""

    def unpacked(self) -> StreamState:
        """Return the streams in the form that the model itself keeps."""

    def nbytes(self) -> int:
        """Return the memory that the state stands for, in bytes."""

    def save(self, path: Any) -> None:
        """Write the state to a file that :meth:`StreamState.load` reads."""

    @staticmethod
    def stack(states: Sequence[Any]) -> Any:
        """Return one state that holds the streams of all ``states``, in order."""


StateT = TypeVar("StateT", bound=State)


class Feed(NamedTuple):
    """What is pushed through the network at once.

    Attributes:
        samples: whole hops of audio, ``[batch, hops * 320]``.
        frames: how many of the hops exist in each row, int64 ``[batch]``; the rest is padding, and a row with
            none is passed over.
        active: bool ``[batch]``, the rows whose state moves on; all when None.
    """

    samples: Tensor
    frames: Tensor
    active: Tensor | None


class Streaming(ABC, Generic[StateT]):
    """Steps, ends and whole recordings on top of one feed, which each way of running defines."""

    config: StreamingWavLMConfig
    training: bool

    @abstractmethod
    def mark(self) -> str:
        """Return what tells the weights from others: of the small tensors, which all training moves."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where audio goes in and features come out."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The floating-point type of audio and features."""

    @abstractmethod
    def _begin(self, batch: int) -> StateT:
        """Return the state of streams that have not begun."""

    @abstractmethod
    def _advance(self, feed: Feed, state: StateT, layers: Sequence[int]) -> tuple[list[Tensor], StateT]:
        """Push a feed through the network.

        Args:
            feed: at least one hop, at most a chunk.
            state: the streams so far; it is not changed.
            layers: the hidden states to return, from 0.

        Returns:
            Those hidden states ``[batch, hops, dim]``, whatever they are past a row's frames, and the state
            after the feed, in which inactive rows are as they were.
        """

    def with_chunk(self, chunk_ms: int) -> Self:
        """Return the same with the same weights, shared and not copied, and another chunk size.

        What is shared is in training mode for both or for neither.

        Args:
            chunk_ms: audio that one step of it processes, in milliseconds.

        Raises:
            ConfigError: the chunk is no multiple of the hop.
        """
        other = copy.copy(self)
        other.config = self.config.replace(chunk_ms=chunk_ms)
        return other

    def init_state(self, batch: int = 1) -> StateT:
        """Return the state of ``batch`` streams that have not begun.

        Raises:
            ConfigError: the model is bidirectional.
            InputError: ``batch`` is negative.
        """
        self._require_causal()
        if batch < 0:
            raise InputError(f"batch must be a number of streams from 0, got {batch}")
        return self._begin(batch)

    def step(
        self,
        chunk: Tensor,
        state: StateT,
        active: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
    ) -> tuple[WavLMOutput, StateT]:
        """Process exactly one chunk of each active stream.

        Args:
            chunk: 16 kHz mono audio, floating point ``[batch, chunk_samples]``; rows of inactive streams are
                not looked at.
            state: the streams so far; it is not changed.
            active: bool ``[batch]``, the streams that have a chunk now; all when None.
            layers: the hidden states to return, as indices from 0 (or from -1, the last); all when None.
            weights: one per hidden state: return their weighted sum as the only one.

        Returns:
            Hidden states ``[batch, chunk_frames, dim]``, zero in inactive rows, and the new state, in which
            inactive rows are as they were.

        Raises:
            InputError: the chunk is not one chunk per stream, the mask does not fit, or a layer is unknown.
            StateMismatchError: the state belongs to another config.
            ConfigError: the model is bidirectional.
        """
        self._require_causal()
        state = self._check_stream(chunk, state, active)
        if chunk.shape[1] != self.config.chunk_samples:
            raise InputError(
                f"a step takes exactly one chunk of {self.config.chunk_samples} samples "
                f"({self.config.chunk_ms} ms) per stream, got {chunk.shape[1]}; "
                "StreamSession takes packets of any size, finish() takes the tail"
            )
        chosen = resolve_layers(layers, self.config.num_layers)
        frames = torch.full((len(chunk),), self.config.chunk_frames, device=chunk.device)
        if active is not None:
            frames = torch.where(active, frames, 0)
            chunk = torch.where(active[:, None], chunk, 0)
        hidden, after = self._advance(Feed(chunk.to(self.dtype), frames, active), state, chosen)
        output = WavLMOutput(tuple(hidden), frames) if active is None else masked(hidden, frames)
        return mixed(output, weights), after

    def finish(
        self,
        state: StateT,
        tail: Tensor | None = None,
        tail_lengths: Tensor | None = None,
        active: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
    ) -> tuple[WavLMOutput, StateT]:
        """Process what is left of each active stream, and end it.

        The last frame of a recording that is no whole number of hops is completed with silence.

        Args:
            state: the streams so far; it is not changed.
            tail: 16 kHz mono audio ``[batch, samples]``, at most one chunk; nothing when None.
            tail_lengths: samples of each tail, int64 ``[batch]``; all of ``tail`` when None.
            active: bool ``[batch]``, the streams that end; all when None.
            layers: see :meth:`step`.
            weights: see :meth:`step`.

        Returns:
            Hidden states ``[batch, frames, dim]`` of the tails, zero past a row's end, and a state in which
            the streams that ended are ready to begin anew.

        Raises:
            InputError: a tail is longer than a chunk, shapes do not fit, or a layer does not exist.
            StateMismatchError: the state belongs to another config.
            ConfigError: the model is bidirectional.
        """
        self._require_causal()
        if tail is None:
            tail = torch.zeros(state.batch, 0, device=self.device, dtype=self.dtype)
        state = self._check_stream(tail, state, active)
        if tail.shape[1] > self.config.chunk_samples:
            raise InputError(
                f"a tail is at most one chunk of {self.config.chunk_samples} samples, got {tail.shape[1]}; "
                "step() the whole chunks first"
            )
        tail_lengths = check_lengths(tail_lengths, tail)
        if active is not None:
            tail_lengths = torch.where(active, tail_lengths, 0)
        padded = whole_hops(cleared(tail.to(self.dtype), tail_lengths), self.config.hop)
        chosen = resolve_layers(layers, self.config.num_layers)
        frames = frames_of(tail_lengths, self.config.hop)
        if padded.shape[1]:
            hidden, _ = self._advance(Feed(padded, frames, active), state, chosen)
        else:
            hidden = [padded.new_zeros(len(padded), 0, self.config.dim)] * len(chosen)
        ended = range(state.batch) if active is None else active.to(state.position.device)
        return mixed(masked(hidden, frames), weights), state.reset(ended)

    @abstractmethod
    def _adopt(self, state: Any) -> StateT:
        """Return a state, of whichever engine and type, in the form that this way of running keeps."""

    def _require_causal(self) -> None:
        if not self.config.causal:
            raise ConfigError(
                "a bidirectional model cannot be streamed: every frame needs the whole recording; "
                "call the model on it, or load a causal config"
            )

    def _check_stream(self, samples: Tensor, state: Any, active: Tensor | None) -> StateT:
        check_samples(samples, "the chunk")
        check_fingerprint(state.fingerprint, self.config)
        if state.batch != len(samples):
            raise StateError(
                f"the state holds {state.batch} streams, the audio has {len(samples)} rows; give one row each"
            )
        check_active(active, state.batch)
        return self._adopt(state)


def check_no_dropout(model: Streaming[Any]) -> None:
    """Require a model, or an engine, that would not apply dropout now.

    Raises:
        InputError: a part of it is in training mode, and its config has dropout.
    """
    # Parts are shared by with_chunk(): they may be in another mode than the model that holds them.
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = model.training or any(module.training for module in modules)
    if training and model.config.dropout > 0:
        raise InputError("the model is in training mode and would apply dropout; call model.eval() first")


def resolve_layers(layers: Sequence[int] | None, num_layers: int) -> tuple[int, ...]:
    """Return layer indices from 0, in the order given.

    Args:
        layers: indices from 0, or negative ones from the end; all when None.
        num_layers: how many there are.

    Raises:
        InputError: an index is no integer, does not exist, or is given twice; or there is none.
    """
    if layers is None:
        return tuple(range(num_layers))
    resolved = []
    for layer in layers:
        whole = hasattr(layer, "__index__") and not isinstance(layer, bool)
        if not whole or not -num_layers <= layer < num_layers:
            raise InputError(f"layer {layer!r} does not exist: the model has layers 0 to {num_layers - 1}")
        resolved.append(int(layer) % num_layers)
    if not resolved or len(set(resolved)) < len(resolved):
        raise InputError(f"layers must name at least one layer, each once, got {list(layers)}")
    return tuple(resolved)


def frames_of(samples: Tensor, hop: int) -> Tensor:
    """Return the frames of so many samples, the last partial one included."""
    return (samples + hop - 1) // hop


def cleared(samples: Tensor, lengths: Tensor) -> Tensor:
    """Return audio with silence past each row's end, whatever was there.

    Args:
        samples: ``[batch, samples]``.
        lengths: samples of each row, int64 ``[batch]``.
    """
    present = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
    return torch.where(present, samples, 0)


def whole_hops(samples: Tensor, hop: int) -> Tensor:
    """Return audio ``[batch, samples]`` with its last partial hop completed with silence."""
    return F.pad(samples, (0, -samples.shape[1] % hop))


def masked(hidden: Iterable[Tensor], frames: Tensor) -> WavLMOutput:
    """Return hidden states with what lies past each row's end cleared.

    Args:
        hidden: ``[batch, frames, dim]`` each.
        frames: of each row, int64 ``[batch]``.
    """
    layers = list(hidden)
    present = _present(frames, layers[0].shape[1])
    return WavLMOutput(tuple(layer.where(present, 0) for layer in layers), frames)


class Joined:
    """The hidden states of whole recordings, put in place feed by feed, so that none is in memory twice.

    Args:
        total: frames that will come.
    """

    def __init__(self, total: int) -> None:
        self._total, self._filled = total, 0
        self._layers: list[Tensor] = []
        self._tracked: list[Sequence[Tensor]] = []

    def append(self, hidden: Sequence[Tensor]) -> None:
        """Take the next feed's hidden states, ``[batch, frames, dim]`` each."""
        if any(layer.requires_grad for layer in hidden):  # the way back through writes in place is slow
            self._tracked.append(hidden)
            return
        if not self._layers:
            self._layers = [layer.new_empty(len(layer), self._total, layer.shape[2]) for layer in hidden]
        end = self._filled + hidden[0].shape[1]
        for whole, layer in zip(self._layers, hidden, strict=True):
            whole[:, self._filled : end] = layer
        self._filled = end

    def output(self, frames: Tensor) -> WavLMOutput:
        """Return all of them, with what lies past each row's ``frames`` (int64 ``[batch]``) cleared."""
        if self._tracked:
            return masked([torch.cat(layer, dim=1) for layer in zip(*self._tracked, strict=True)], frames)
        absent = ~_present(frames, self._total)
        return WavLMOutput(tuple(layer.masked_fill_(absent, 0) for layer in self._layers), frames)


def _present(frames: Tensor, total: int) -> Tensor:
    """Return which of ``total`` frames each row has, bool ``[batch, total, 1]``."""
    return (torch.arange(total, device=frames.device) < frames[:, None])[:, :, None]


def mixed(output: WavLMOutput, weights: Sequence[float] | None) -> WavLMOutput:
    """Return the weighted sum of the hidden states as the only one, or all of them when ``weights`` is None.

    Raises:
        InputError: there is not one weight per hidden state.
    """
    if weights is None:
        return output
    if len(weights) != len(output.hidden_states):
        raise InputError(
            f"give one weight per hidden state: {len(output.hidden_states)} are asked for, "
            f"got {len(weights)} weights"
        )
    total = output.hidden_states[0] * weights[0]
    for layer, weight in zip(output.hidden_states[1:], weights[1:], strict=True):
        total = total.add(layer, alpha=float(weight))
    return WavLMOutput((total,), output.lengths)
