"""The streaming WavLM: one implementation of the arithmetic behind one pass, single steps and the flush."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_active, check_lengths, check_samples
from .config import StreamingWavLMConfig
from .conv import FeatureExtractor
from .encoder import Encoder, Feed
from .errors import ConfigError, InputError, StateError
from .hub import HubMixin
from .output import WavLMOutput
from .state import StreamState, check_fingerprint, initial_state

# One pass feeds itself about so many frames at a time: memory must not grow with the square of the length.
_FEED_FRAMES = 256


class StreamingWavLM(nn.Module, HubMixin):
    """WavLM made causal, or its bidirectional reference, as the config says.

    Args:
        config: the architecture; see :class:`StreamingWavLMConfig`.
    """

    def __init__(self, config: StreamingWavLMConfig) -> None:
        super().__init__()
        self.config = config
        # Where the weights came from, and the config fields that no file gave: filled by those who load them.
        self.provenance: dict[str, Any] = {}
        self.defaults: tuple[str, ...] = ()
        self.feature_extractor = FeatureExtractor(config)
        self.norm = nn.LayerNorm(config.hidden_dims[-1])
        self.feature_proj = nn.Linear(config.hidden_dims[-1], config.dim)
        self.encoder = Encoder(config)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.feature_proj.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return self.feature_proj.weight.dtype

    def num_parameters(self) -> int:
        """Return the number of weights."""
        return sum(parameter.numel() for parameter in self.parameters())

    def with_chunk(self, chunk_ms: int) -> Self:
        """Return a model with the same weights, shared and not copied, and another chunk size.

        Args:
            chunk_ms: audio that one step of the new model processes, in milliseconds.

        Raises:
            ConfigError: the chunk is no multiple of the hop.
        """
        other = copy.copy(self)
        other.config = self.config.replace(chunk_ms=chunk_ms)
        return other

    def forward(
        self, wavs: Tensor, lengths: Tensor | None = None, chunk_ms: int | None = None
    ) -> WavLMOutput:
        """Compute the features of whole recordings, the same that streaming each of them alone gives.

        Args:
            wavs: 16 kHz mono audio in [-1, 1], floating point ``[batch, samples]``.
            lengths: samples of each recording, int64 ``[batch]``; all of ``wavs`` when None. What lies past a
                recording's end is never looked at.
            chunk_ms: the chunk of the visibility rule in milliseconds; the config's when None.

        Returns:
            ``num_layers`` hidden states ``[batch, frames, dim]``, with ``frames = ceil(samples / 320)``, and
            the frames of each row.

        Raises:
            InputError: ``wavs`` or ``lengths`` have the wrong shape, type or values.
            ConfigError: ``chunk_ms`` is no multiple of the hop.
        """
        check_samples(wavs, "wavs")
        lengths = check_lengths(lengths, wavs)
        config = self.config if chunk_ms is None else self.config.replace(chunk_ms=chunk_ms)
        present = torch.arange(wavs.shape[1], device=wavs.device) < lengths[:, None]
        wavs = torch.where(present, wavs.to(self.dtype), 0)
        if not config.causal:
            return self._bidirectional(wavs, lengths)
        valid = _frames(lengths, config.hop)
        total = config.num_frames(wavs.shape[1])
        wavs = F.pad(wavs, (0, total * config.hop - wavs.shape[1]))
        state = initial_state(config, len(wavs), wavs.device, wavs.dtype, window=0)
        # A feed of whole chunks: no frame needs what lies beyond its chunk.
        feed = config.chunk_frames * -(-_FEED_FRAMES // config.chunk_frames)
        pieces = []
        for start in range(0, max(total, 1), feed):
            samples = wavs[:, start * config.hop : (start + feed) * config.hop]
            hidden, state = self._feed(samples, state, valid, config)
            pieces.append(hidden)
        hidden_states = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
        return _masked(hidden_states, valid)

    def init_state(self, batch: int = 1) -> StreamState:
        """Return the state of ``batch`` streams that have not begun.

        Raises:
            ConfigError: the model is bidirectional.
            InputError: ``batch`` is negative.
        """
        self._require_causal()
        if batch < 0:
            raise InputError(f"batch must be a number of streams from 0, got {batch}")
        return initial_state(self.config, batch, self.device, self.dtype)

    def step(
        self, chunk: Tensor, state: StreamState, active: Tensor | None = None
    ) -> tuple[WavLMOutput, StreamState]:
        """Process exactly one chunk of each active stream.

        Args:
            chunk: 16 kHz mono audio, floating point ``[batch, chunk_samples]``; rows of inactive streams are
                not looked at.
            state: the streams so far; it is not changed.
            active: bool ``[batch]``, the streams that have a chunk now; all when None.

        Returns:
            Hidden states ``[batch, chunk_frames, dim]``, zero in inactive rows, and the new state, in which
            inactive rows are as they were.

        Raises:
            InputError: the chunk is not one chunk per stream, or the mask does not fit.
            StateMismatchError: the state belongs to another config.
            ConfigError: the model is bidirectional.
        """
        self._require_causal()
        self._check_stream(chunk, state, active)
        if chunk.shape[1] != self.config.chunk_samples:
            raise InputError(
                f"a step takes exactly one chunk of {self.config.chunk_samples} samples "
                f"({self.config.chunk_ms} ms) per stream, got {chunk.shape[1]}; "
                "StreamSession takes packets of any size, finish() takes the tail"
            )
        frames = torch.full_like(state.position, self.config.chunk_frames)
        return self._advance(chunk.to(self.dtype), state, frames, active)

    def finish(
        self,
        state: StreamState,
        tail: Tensor | None = None,
        tail_lengths: Tensor | None = None,
        active: Tensor | None = None,
    ) -> tuple[WavLMOutput, StreamState]:
        """Process what is left of each active stream, and end it.

        The last frame of a recording that is no whole number of hops is completed with silence.

        Args:
            state: the streams so far; it is not changed.
            tail: 16 kHz mono audio ``[batch, samples]``, at most one chunk; nothing when None.
            tail_lengths: samples of each tail, int64 ``[batch]``; all of ``tail`` when None.
            active: bool ``[batch]``, the streams that end; all when None.

        Returns:
            Hidden states ``[batch, frames, dim]`` of the tails, zero past a row's end, and a state in which
            the streams that ended are ready to begin anew.

        Raises:
            InputError: a tail is longer than a chunk, or shapes do not fit.
            StateMismatchError: the state belongs to another config.
            ConfigError: the model is bidirectional.
        """
        self._require_causal()
        if tail is None:
            tail = torch.zeros(state.batch, 0, device=self.device, dtype=self.dtype)
        self._check_stream(tail, state, active)
        if tail.shape[1] > self.config.chunk_samples:
            raise InputError(
                f"a tail is at most one chunk of {self.config.chunk_samples} samples, got {tail.shape[1]}; "
                "step() the whole chunks first"
            )
        tail_lengths = check_lengths(tail_lengths, tail)
        if active is not None:
            tail_lengths = torch.where(active, tail_lengths, 0)
        present = torch.arange(tail.shape[1], device=tail.device) < tail_lengths[:, None]
        total = self.config.num_frames(tail.shape[1])
        padded = F.pad(
            torch.where(present, tail.to(self.dtype), 0), (0, total * self.config.hop - tail.shape[1])
        )
        output, _ = self._advance(padded, state, _frames(tail_lengths, self.config.hop), active)
        ended = torch.ones_like(state.position, dtype=torch.bool) if active is None else active
        return output, state.reset(ended)

    def _advance(
        self, samples: Tensor, state: StreamState, frames: Tensor, active: Tensor | None
    ) -> tuple[WavLMOutput, StreamState]:
        """Feed the active streams; each has ``frames`` frames of the feed, the rest is padding."""
        if active is not None:
            frames = torch.where(active, frames, 0)
            samples = torch.where(active[:, None], samples, 0)
        hidden, after = self._feed(samples, state, state.position + frames, self.config)
        if active is not None:
            after = after.where(active, state)
        return _masked(hidden, frames), after

    def _feed(
        self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig
    ) -> tuple[list[Tensor], StreamState]:
        """Push whole hops through the network: the only place where the causal arithmetic is done.

        Args:
            samples: ``[batch, hops * 320]``.
            state: the streams so far.
            valid: frames that exist once the feed is in, int64 ``[batch]``.
            config: whose chunk and lookahead rule.

        Returns:
            The output of each layer ``[batch, hops, dim]`` and the state after the feed.
        """
        frames = samples.shape[1] // config.hop
        if frames == 0:
            empty = samples.new_zeros(len(samples), 0, config.dim)
            return [empty] * config.num_layers, state
        features, conv = self.feature_extractor(samples, state.conv, state.position == 0)
        projected = self.feature_proj(self.norm(features))
        feed = Feed(state.position, valid, config.block_frames, config.chunk_frames)
        past = tuple(zip(state.keys, state.values, strict=True))
        hidden, pos_conv, kept = self.encoder(projected, feed, state.pos_conv, past)
        keys, values = zip(*kept, strict=True)
        return hidden, StreamState(state.position + frames, conv, pos_conv, keys, values, state.fingerprint)

    def _bidirectional(self, wavs: Tensor, lengths: Tensor) -> WavLMOutput:
        config = self.config
        short = config.receptive_field
        if int(lengths.min()) < short:
            raise InputError(
                f"the bidirectional reference needs at least {short} samples, got {int(lengths.min())}"
            )
        if config.normalize:
            rows = [F.layer_norm(wav[:n], (n,)) for wav, n in zip(wavs, lengths.tolist(), strict=True)]
            wavs = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        empty = initial_state(config, len(wavs), wavs.device, wavs.dtype, window=0)
        features, _ = self.feature_extractor(wavs, empty.conv, empty.position == 0)
        valid = (lengths - short) // config.hop + 1
        hidden = self.encoder.bidirectional(self.feature_proj(self.norm(features)), valid)
        return _masked(hidden, valid)

    def _require_causal(self) -> None:
        if not self.config.causal:
            raise ConfigError(
                "a bidirectional model cannot be streamed: every frame needs the whole recording; "
                "call the model on it, or load a causal config"
            )

    def _check_stream(self, samples: Tensor, state: StreamState, active: Tensor | None) -> None:
        check_samples(samples, "the chunk")
        check_fingerprint(state.fingerprint, self.config)
        if state.batch != len(samples):
            raise StateError(
                f"the state holds {state.batch} streams, the audio has {len(samples)} rows; give one row each"
            )
        check_active(active, state.batch)


def _frames(samples: Tensor, hop: int) -> Tensor:
    """Frames of so many samples, the last partial one included."""
    return (samples + hop - 1) // hop


def _masked(hidden: Iterable[Tensor], frames: Tensor) -> WavLMOutput:
    """Clear what lies past each row's end."""
    layers = list(hidden)
    present = torch.arange(layers[0].shape[1], device=frames.device) < frames[:, None]
    return WavLMOutput(tuple(layer.where(present[:, :, None], 0) for layer in layers), frames)
