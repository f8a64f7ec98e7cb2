"""The Whisper encoder as a teacher, on recordings as long as they are: no 30 s of padding."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError, UnsupportedCheckpointError
from ..geometry import FrameGeometry
from .base import Teacher, TeacherSpec
from .mel import MEL_HOP, N_FFT, mel_filters, whisper_log_mel

# Window m is centred at sample 160 m; through two convolutions frame t comes from windows 2t - 2 to 2t + 2.
_GEOMETRY = FrameGeometry(-2 * MEL_HOP - N_FFT // 2, 2 * MEL_HOP, 4 * MEL_HOP + N_FFT)


class WhisperTeacher(Teacher):
    """The encoder of Whisper.

    The model was made for recordings padded to 30 s; here attention is kept inside the recording, which saves
    most of the work and keeps a recording's targets independent of its batch.

    Args:
        encoder: transformers' ``WhisperEncoder``. Layers deeper than those wanted are taken off it.
        name: what the objective calls it.
        layers: the layers to give; all when None. The last is given after the encoder's last normalisation.

    Raises:
        UnsupportedCheckpointError: it is no Whisper encoder.
        ConfigError: it has no such layers.
    """

    filters: Tensor

    def __init__(self, encoder: nn.Module, name: str, *, layers: Sequence[int] | None = None) -> None:
        config: Any = encoder.config
        if not hasattr(encoder, "embed_positions") or not hasattr(encoder, "conv2"):
            raise UnsupportedCheckpointError(
                f"the teacher {name!r} is a {type(encoder).__name__}, not a WhisperEncoder"
            )
        model: Any = encoder
        spec = TeacherSpec(config.d_model, len(model.layers), _GEOMETRY)
        super().__init__(name, spec, layers, first=0)
        self.model = model
        self.model.layers = model.layers[: self.layers[-1]]
        self.longest = model.embed_positions.num_embeddings * _GEOMETRY.hop
        self.register_buffer("filters", mel_filters(config.num_mel_bins))
        self.frozen()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Run the encoder and keep the wanted layers."""
        if len(lengths) and int(lengths.max()) > self.longest:
            raise InputError(
                f"the teacher {self.name!r} hears at most {self.longest / 16_000:g} s, got "
                f"{int(lengths.max()) / 16_000:.1f} s; cut longer recordings (a shorter maximum in the data)"
            )
        mel, windows = whisper_log_mel(wavs, lengths, self.filters)
        frames = windows // 2
        hidden = self._embedded(mel.to(self.model.conv1.weight.dtype))
        present = torch.arange(hidden.shape[1], device=hidden.device) < frames[:, None]
        # A row without any frame looks at everything: nothing to look at gives NaN.
        visible = (present | (frames == 0)[:, None])[:, None, None, :]
        mask = torch.zeros_like(visible, dtype=hidden.dtype).masked_fill(
            ~visible, torch.finfo(hidden.dtype).min
        )
        kept = {0: hidden}
        for number, layer in enumerate(self.model.layers, start=1):
            hidden = _called(layer, hidden, mask.expand(-1, 1, hidden.shape[1], -1))
            kept[number] = hidden
        if len(self.model.layers) == self.spec.num_layers:
            kept[self.spec.num_layers] = self.model.layer_norm(hidden)
        return [kept[number] for number in self.layers], frames

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        return {**super().description(), "model": "whisper", "source": self.model.config.name_or_path}

    def _embedded(self, mel: Tensor) -> Tensor:
        """Run the two convolutions, and add the positions.

        What follows a row's windows is zero, as the convolutions' own padding is, and their number is even: a
        row alone gives the same.
        """
        first = F.gelu(self.model.conv1(mel))
        second = F.gelu(self.model.conv2(first)).transpose(1, 2)
        embedded: Tensor = second + self.model.embed_positions.weight[: second.shape[1]]
        return embedded


def _called(layer: nn.Module, hidden: Tensor, mask: Tensor) -> Tensor:
    """Run one layer; transformers below 5 wants one more argument and returns a tuple."""
    old = "layer_head_mask" in inspect.signature(layer.forward).parameters
    output = layer(hidden, mask, layer_head_mask=None) if old else layer(hidden, mask)
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result
