"""Teachers that hear the waveform: WavLM, HuBERT, wav2vec 2.0 and their kin in transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UnsupportedCheckpointError
from ..geometry import conv_geometry
from .base import Teacher, TeacherSpec
from .rows import by_length, normalised_waveforms

# Those whose result for a row is known not to change with padding that is masked.
_MASKED_EXACTLY = ("wavlm", "hubert", "wav2vec2")


class WaveformTeacher(Teacher):
    """A transformers model over raw audio.

    Its last layer is given as the model gives it, after a last normalisation if there is one; the others as
    they leave the layer. Models with a group norm over time, for which a mask is not enough, never see
    padding: their rows go through in groups of equal length.

    Args:
        model: the base model, without a head. Layers deeper than those wanted are taken off it.
        name: what the objective calls it.
        normalize: whether it hears each recording brought to mean 0 and variance 1.
        layers: the layers to give; all when None.

    Raises:
        UnsupportedCheckpointError: it is no model over raw audio, or it has an adapter.
        ConfigError: it has no such layers.
    """

    def __init__(
        self, model: nn.Module, name: str, *, normalize: bool, layers: Sequence[int] | None = None
    ) -> None:
        config: Any = model.config
        encoder: Any = getattr(model, "encoder", None)
        blocks: nn.ModuleList | None = getattr(encoder, "layers", None)
        if blocks is None or not hasattr(config, "conv_kernel"):
            raise UnsupportedCheckpointError(
                f"the teacher {name!r} is a {type(model).__name__}, not a base model over raw audio such as "
                "WavLMModel, HubertModel or Wav2Vec2Model"
            )
        if getattr(model, "adapter", None) is not None:
            raise UnsupportedCheckpointError(
                f"the teacher {name!r} has an adapter, which changes the frame rate; load it with "
                "add_adapter=False"
            )
        geometry = conv_geometry(config.conv_kernel, config.conv_stride)
        super().__init__(name, TeacherSpec(config.hidden_size, len(blocks), geometry), layers, first=0)
        self.geometry = geometry
        self.model: Any = model
        self.normalize = normalize
        self.masks = (
            config.model_type in _MASKED_EXACTLY
            and config.feat_extract_norm == "layer"
            and not getattr(config, "conv_pos_batch_norm", False)
        )
        encoder.layers = blocks[: max(1, self.layers[-1])]
        self.frozen()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Run the model and keep the wanted layers."""
        return self._run(self._layers, wavs, lengths)

    def compute_positional(self, wavs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the front-end and the positional convolution."""
        if not hasattr(self.model.encoder, "pos_conv_embed"):
            return super().compute_positional(wavs, lengths)
        (inputs, outputs), frames = self._run(self._positional, wavs, lengths)
        return inputs, outputs, frames

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        config: Any = self.model.config
        return {
            **super().description(),
            "model": config.model_type,
            "source": config.name_or_path,
            "normalize": self.normalize,
        }

    def _run(
        self, run: Callable[[Tensor, Tensor | None], list[Tensor]], wavs: Tensor, lengths: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        shortest = self.geometry.width
        frames = torch.where(lengths < shortest, 0, (lengths - shortest) // self.geometry.hop + 1)
        if self.normalize:
            wavs = normalised_waveforms(wavs, lengths)
        wavs = wavs.to(next(self.model.parameters()).dtype)
        if not self.masks or len(wavs) == 1:
            return by_length(wavs, lengths, lambda rows: run(rows, None), shortest), frames
        wavs = nn.functional.pad(wavs, (0, max(0, shortest - wavs.shape[1])))
        mask = torch.arange(wavs.shape[1], device=wavs.device) < lengths.clamp(min=shortest)[:, None]
        return run(wavs, mask.long()), frames

    def _layers(self, wavs: Tensor, mask: Tensor | None) -> list[Tensor]:
        with _recorded(self.model.encoder.layers, self.layers) as kept:
            output = self.model(wavs, attention_mask=mask)
        if self.layers[-1] == self.spec.num_layers:
            kept[self.spec.num_layers] = output.last_hidden_state
        return [kept[number] for number in self.layers]

    def _positional(self, wavs: Tensor, mask: Tensor | None) -> list[Tensor]:
        model = self.model
        features = model.feature_extractor(wavs).transpose(1, 2)
        projected = model.feature_projection(features)
        inputs = projected[0] if isinstance(projected, tuple) else projected
        if mask is not None:
            present = model._get_feature_vector_attention_mask(inputs.shape[1], mask)
            inputs = torch.where(present[:, :, None], inputs, 0)
        return [inputs, model.encoder.pos_conv_embed(inputs)]


@contextmanager
def _recorded(blocks: nn.ModuleList, wanted: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Keep the outputs of transformer layers, by their number, while the model runs."""
    kept: dict[int, Tensor] = {}

    def keep_output(number: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            kept[number] = output[0] if isinstance(output, tuple) else output

        return hook

    def keep_input(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept[0] = args[0] if args else kwargs["hidden_states"]

    handles = [blocks[0].register_forward_pre_hook(keep_input, with_kwargs=True)] if 0 in wanted else []
    handles += [blocks[number - 1].register_forward_hook(keep_output(number)) for number in wanted if number]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
