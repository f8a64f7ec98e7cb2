"""Models of this package as teachers: the bidirectional reference, or a causal model seeing more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ...model import StreamingWavLM
from ...state import initial_state
from ..geometry import student_geometry
from .base import Targets, Teacher, TeacherSpec
from .rows import normalised_waveforms

ChunkMs = int | Literal["whole"] | None


class ReferenceTeacher(Teacher):
    """A model of this package.

    Args:
        model: bidirectional or causal; it is frozen.
        name: what the objective calls it.
        layers: the layers to give; all when None.
        chunk_ms: the chunk of a causal model in milliseconds, or ``"whole"``; the model's own when None.

    Raises:
        ConfigError: it has no such layers.
    """

    def __init__(
        self,
        model: StreamingWavLM,
        name: str,
        *,
        layers: Sequence[int] | None = None,
        chunk_ms: ChunkMs = None,
    ) -> None:
        config = model.config
        super().__init__(name, TeacherSpec(config.dim, config.num_layers, student_geometry(config)), layers)
        self.model = model
        self.chunk_ms = chunk_ms
        self.frozen()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Run the model and keep the wanted layers."""
        targets = targets_of(self.model, wavs, lengths, self.layers, self.chunk_ms)
        return targets.hidden_states, targets.lengths

    def compute_positional(self, wavs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the front-end and the positional convolution."""
        model, config = self.model, self.model.config
        if config.causal:
            return super().compute_positional(wavs, lengths)
        if config.normalize:
            wavs = normalised_waveforms(wavs, lengths)
        short = config.receptive_field
        wavs = torch.nn.functional.pad(wavs, (0, max(0, short - wavs.shape[1]))).to(model.dtype)
        empty = initial_state(config, len(wavs), wavs.device, wavs.dtype, window=0)
        features, _ = model.feature_extractor(wavs, empty.conv, empty.position == 0)
        frames = torch.where(lengths < short, 0, (lengths - short) // config.hop + 1)
        present = torch.arange(features.shape[1], device=wavs.device) < frames[:, None]
        inputs = torch.where(present[:, :, None], model.feature_proj(model.norm(features)), 0)
        return inputs, model.encoder.positional_embedding.centred(inputs), frames

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        return {
            **super().description(),
            "config": self.model.config.to_dict(),
            "chunk_ms": self.chunk_ms,
            "provenance": self.model.provenance,
        }


def targets_of(
    model: StreamingWavLM,
    wavs: Tensor,
    lengths: Tensor,
    layers: Sequence[int] | None = None,
    chunk_ms: ChunkMs = "whole",
) -> Targets:
    """Return a model's own hidden states as targets; its weights and gradients are left as they are.

    Args:
        model: bidirectional or causal; the student itself, say, to learn from its whole-recording pass.
        wavs: 16 kHz mono audio ``[batch, samples]``.
        lengths: samples of each row, int64 ``[batch]``.
        layers: numbers of the layers to give; all when None.
        chunk_ms: the chunk of a causal model in milliseconds, or ``"whole"``; the model's own when None.
    """
    config = model.config
    numbers = tuple(range(1, config.num_layers + 1)) if layers is None else tuple(layers)
    if config.causal:
        if chunk_ms == "whole":
            chunk_ms = config.hop * 1000 // 16_000 * max(1, config.num_frames(wavs.shape[1]))
        output = model(wavs, lengths, chunk_ms=chunk_ms)
        frames = output.lengths
    else:
        # Rows too short for a single frame are given silence, and count nothing.
        short = config.receptive_field
        wavs = torch.nn.functional.pad(wavs, (0, max(0, short - wavs.shape[1])))
        output = model(wavs, lengths.clamp(min=short))
        frames = torch.where(lengths < short, 0, output.lengths)
    hidden = tuple(output.hidden_states[number - 1] for number in numbers)
    return Targets(hidden, frames, student_geometry(config), numbers)
