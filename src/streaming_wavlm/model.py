"""The streaming WavLM: one implementation of the arithmetic behind one pass, single steps and the flush."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_lengths, check_samples
from .config import StreamingWavLMConfig
from .conv import FeatureExtractor
from .encoder import Encoder, Place
from .errors import InputError
from .hub import HubMixin
from .output import WavLMOutput
from .state import StreamState, initial_state
from .streaming import Feed, Joined, Streaming, cleared, frames_of, masked, whole_hops

# One pass feeds itself about so many frames at a time: memory must not grow with the square of the length.
_FEED_FRAMES = 256
# Of a tensor that the mark looks at: a large model is not read through.
_SMALL = 4096


class StreamingWavLM(nn.Module, HubMixin, Streaming[StreamState]):
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

    def mark(self) -> str:
        """Return what tells the weights from others: of the small tensors, which all training moves."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            if tensor.is_floating_point() and tensor.numel() <= _SMALL:
                digest.update(name.encode() + tensor.detach().to("cpu", torch.float32).numpy().tobytes())
        return digest.hexdigest()[:16]

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
        wavs = cleared(wavs.to(self.dtype), lengths)
        if not config.causal:
            return self._bidirectional(wavs, lengths)
        wavs = whole_hops(wavs, config.hop)
        valid, total = frames_of(lengths, config.hop), wavs.shape[1] // config.hop
        state = initial_state(config, len(wavs), wavs.device, wavs.dtype, window=0)
        # A feed of whole chunks: no frame needs what lies beyond its chunk.
        feed = config.chunk_frames * -(-_FEED_FRAMES // config.chunk_frames)
        joined = Joined(total)
        for start in range(0, max(total, 1), feed):
            samples = wavs[:, start * config.hop : (start + feed) * config.hop]
            hidden, state = self._feed(samples, state, valid, config)
            joined.append(hidden)
        return joined.output(valid)

    def _begin(self, batch: int) -> StreamState:
        return initial_state(self.config, batch, self.device, self.dtype)

    def _adopt(self, state: Any) -> StreamState:
        own: StreamState = state.unpacked()
        position, *others = own.tensors()
        fits = position.device == self.device and all(tensor.dtype == self.dtype for tensor in others)
        return own if fits else own.to(self.device, self.dtype)

    def _advance(
        self, feed: Feed, state: StreamState, layers: Sequence[int]
    ) -> tuple[list[Tensor], StreamState]:
        hidden, after = self._feed(feed.samples, state, state.position + feed.frames, self.config)
        if feed.active is not None:
            after = after.where(feed.active, state)
        return [hidden[layer] for layer in layers], after

    def _feed(
        self,
        samples: Tensor,
        state: StreamState,
        valid: Tensor,
        config: StreamingWavLMConfig,
        keep: int | None = None,
    ) -> tuple[list[Tensor], StreamState]:
        """Push whole hops through the network: the only place where the causal arithmetic is done.

        Args:
            samples: ``[batch, hops * 320]``.
            state: the streams so far.
            valid: frames that exist once the feed is in, int64 ``[batch]``.
            config: whose chunk and lookahead rule.
            keep: how many of the last keys and values the state after holds; a window when None.

        Returns:
            The output of each layer ``[batch, hops, dim]`` and the state after the feed.
        """
        frames = samples.shape[1] // config.hop
        if frames == 0:
            empty = samples.new_zeros(len(samples), 0, config.dim)
            return [empty] * config.num_layers, state
        features, conv = self.feature_extractor(samples, state.conv, state.position == 0)
        projected = self.feature_proj(self.norm(features))
        place = Place(state.position, valid, config.block_frames, config.chunk_frames)
        past = tuple(zip(state.keys, state.values, strict=True))
        hidden, pos_conv, kept = self.encoder(projected, place, state.pos_conv, past, keep)
        keys, values = zip(*kept, strict=True)
        return hidden, StreamState(state.position + frames, conv, pos_conv, keys, values, state.fingerprint)

    def _bidirectional(self, wavs: Tensor, lengths: Tensor) -> WavLMOutput:
        config = self.config
        short = config.receptive_field
        if not len(wavs):
            total = max(0, (wavs.shape[1] - short) // config.hop + 1)
            return masked([wavs.new_zeros(0, total, config.dim)] * config.num_layers, lengths)
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
        return masked(hidden, valid)
