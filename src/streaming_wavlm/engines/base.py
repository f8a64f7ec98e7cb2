"""What every engine is: a causal model that only runs, in one precision."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..checks import check_lengths, check_samples
from ..model import StreamingWavLM
from ..output import WavLMOutput
from ..streaming import Feed, Joined, StateT, Streaming, cleared, frames_of, masked, whole_hops
from .linear import Precision
from .memory import keep_freed_memory


class Engine(Streaming[StateT]):
    """A way to run a model, with the model's own interface: steps, ends, whole recordings.

    Args:
        model: a causal model in eval mode.
        precision: of the arithmetic.

    Raises:
        ConfigError: the model is bidirectional.
    """

    name: ClassVar[str]
    #: An engine never applies dropout.
    training = False

    def __init__(self, model: StreamingWavLM, precision: Precision) -> None:
        self.config = model.config
        self._require_causal()
        keep_freed_memory()
        self.precision = precision
        self.provenance: dict[str, Any] = dict(model.provenance)
        self.defaults = model.defaults
        self._parameters = model.num_parameters()
        self._mark = model.mark()

    @property
    def device(self) -> torch.device:
        """Where audio goes in and features come out: the CPU."""
        return torch.device("cpu")

    def num_parameters(self) -> int:
        """Return the number of weights of the model."""
        return self._parameters

    def mark(self) -> str:
        """Return what tells the model's weights from others."""
        return self._mark

    def eval(self) -> Self:
        """Return the engine: it is always in eval mode."""
        return self

    def __call__(
        self, wavs: Tensor, lengths: Tensor | None = None, chunk_ms: int | None = None
    ) -> WavLMOutput:
        """Compute the features of whole recordings; see :meth:`forward`."""
        return self.forward(wavs, lengths, chunk_ms)

    # Not inference_mode, whose tensors cannot train a head.
    @torch.no_grad()
    def forward(
        self, wavs: Tensor, lengths: Tensor | None = None, chunk_ms: int | None = None
    ) -> WavLMOutput:
        """Compute the features of whole recordings: each is streamed, chunk by chunk.

        Args:
            wavs: 16 kHz mono audio in [-1, 1], floating point ``[batch, samples]``.
            lengths: samples of each recording, int64 ``[batch]``; all of ``wavs`` when None.
            chunk_ms: the chunk in milliseconds; the config's when None.

        Returns:
            As of :meth:`StreamingWavLM.forward`.

        Raises:
            InputError: ``wavs`` or ``lengths`` have the wrong shape, type or values.
            ConfigError: ``chunk_ms`` is no multiple of the hop.
        """
        check_samples(wavs, "wavs")
        lengths = check_lengths(lengths, wavs)
        engine = self if chunk_ms is None else self.with_chunk(chunk_ms)
        config = engine.config
        layers = range(config.num_layers)
        wavs = whole_hops(cleared(wavs.to(self.dtype), lengths), config.hop)
        frames, total = frames_of(lengths, config.hop), wavs.shape[1] // config.hop
        state = engine.init_state(len(wavs))
        if not total:
            return masked([wavs.new_zeros(len(wavs), 0, config.dim)] * config.num_layers, frames)
        joined = Joined(total)
        for start in range(0, total, config.chunk_frames):
            samples = wavs[:, start * config.hop :][:, : config.chunk_samples]
            left = (frames - start).clamp(0, config.chunk_frames)
            hidden, state = engine._advance(Feed(samples, left, None), state, layers)
            joined.append(hidden)
        return joined.output(frames)
