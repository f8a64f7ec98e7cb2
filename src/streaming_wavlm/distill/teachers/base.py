"""What a teacher is: audio in, frozen hidden states and what their frames hear out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...checks import check_lengths, check_samples
from ...errors import ConfigError, InputError
from ..geometry import FrameGeometry

_STORY = ("name", "source", "provenance")


@dataclass(frozen=True)
class TeacherSpec:
    """What can be had of a teacher.

    Attributes:
        dim: width of its targets.
        num_layers: its layers, used or not.
        geometry: what its frames hear; None if it speaks once per recording.
    """

    dim: int
    num_layers: int
    geometry: FrameGeometry | None


@dataclass(frozen=True)
class Targets:
    """What a teacher says about a batch.

    Attributes:
        hidden_states: one tensor ``[batch, frames, dim]`` per layer, zero past a row's end; one frame if the
            teacher speaks once per recording.
        lengths: frames of each row, int64 ``[batch]``.
        geometry: what the frames hear; None if there is one frame per recording.
        layers: the number of each layer: 1 is the output of the first, 0 its input.
    """

    hidden_states: tuple[Tensor, ...]
    lengths: Tensor
    geometry: FrameGeometry | None
    layers: tuple[int, ...]

    def layer(self, number: int) -> Tensor:
        """Return the hidden states of one layer, ``[batch, frames, dim]``.

        Raises:
            InputError: the teacher was not asked for that layer.
        """
        if number not in self.layers:
            raise InputError(
                f"layer {number} is not among the targets: the teacher was asked for {self.layers}"
            )
        return self.hidden_states[self.layers.index(number)]


@dataclass(frozen=True)
class PositionalTargets:
    """What goes into a teacher's positional convolution and what comes out.

    Attributes:
        inputs: ``[batch, frames, dim]``, zero past a row's end.
        outputs: ``[batch, frames, dim]``, zero past a row's end.
        lengths: frames of each row, int64 ``[batch]``.
    """

    inputs: Tensor
    outputs: Tensor
    lengths: Tensor


class Teacher(nn.Module, ABC):
    """A frozen model that gives targets.

    A recording's targets never depend on the batch it is in.

    Args:
        name: what the objective calls it.
        spec: what can be had of it.
        layers: the layers to give; all when None.
        first: the number of its first layer: 0 where the input of the transformer can be had.

    Raises:
        ConfigError: a layer is asked that it does not have.
    """

    def __init__(self, name: str, spec: TeacherSpec, layers: Sequence[int] | None, first: int = 1) -> None:
        super().__init__()
        self.name = name
        self.spec = spec
        self.layers = resolve_layers(layers, spec.num_layers, first, name)

    def forward(self, wavs: Tensor, lengths: Tensor | None = None) -> Targets:
        """Return the targets of a batch, without gradient.

        Args:
            wavs: 16 kHz mono audio in [-1, 1], ``[batch, samples]``.
            lengths: samples of each row, int64 ``[batch]``; all of ``wavs`` when None.

        Raises:
            InputError: ``wavs`` or ``lengths`` have the wrong shape, type or values.
        """
        wavs, lengths = _cleaned(wavs, lengths)
        with torch.no_grad(), torch.autocast(wavs.device.type, enabled=False):
            hidden, frames = self.compute(wavs, lengths)
        return Targets(tuple(cut(layer, frames) for layer in hidden), frames, self.spec.geometry, self.layers)

    def positional(self, wavs: Tensor, lengths: Tensor | None = None) -> PositionalTargets:
        """Return what goes into the positional convolution and what comes out, without gradient.

        Args:
            wavs: 16 kHz mono audio in [-1, 1], ``[batch, samples]``.
            lengths: samples of each row, int64 ``[batch]``; all of ``wavs`` when None.

        Raises:
            ConfigError: this teacher has no centred positional convolution.
            InputError: ``wavs`` or ``lengths`` have the wrong shape, type or values.
        """
        wavs, lengths = _cleaned(wavs, lengths)
        with torch.no_grad(), torch.autocast(wavs.device.type, enabled=False):
            inputs, outputs, frames = self.compute_positional(wavs, lengths)
        return PositionalTargets(cut(inputs, frames), cut(outputs, frames), frames)

    @abstractmethod
    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return the wanted layers ``[batch, frames, dim]`` and the frames of each row.

        Args:
            wavs: ``[batch, samples]``, at least float32, zero past a row's end.
            lengths: samples of each row.
        """

    def compute_positional(self, wavs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs and outputs of the positional convolution and the frames of each row."""
        raise ConfigError(
            f"the teacher {self.name!r} has no positional convolution that looks both ways; this stage needs "
            "a WavLM, HuBERT or wav2vec 2.0"
        )

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a teacher is the same whoever trains around it."""
        return super().train(False)

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        return {"name": self.name, "kind": type(self).__name__, "layers": list(self.layers)}

    def fingerprint(self) -> str:
        """Return a digest that changes with the weights and whatever else changes the targets."""
        # What it is called, where it lies and where it came from do not: targets kept on disk stay good when
        # a folder moves.
        settings = {key: value for key, value in self.description().items() if key not in _STORY}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for key, value in sorted(self.state_dict().items()):
            digest.update(f"{key}{value.dtype}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def weight_type(self) -> str:
        """Return the floating-point type of its weights, such as ``"bfloat16"``; of a few types all."""
        types = {str(value.dtype).removeprefix("torch.") for value in self.state_dict().values()}
        return " ".join(sorted(types))

    def frozen(self) -> Self:
        """Switch gradients off and eval mode on; each teacher calls it when it is complete."""
        self.requires_grad_(False)
        return self.train(False)


def resolve_layers(layers: Sequence[int] | None, num_layers: int, first: int, name: str) -> tuple[int, ...]:
    """Return layer numbers in order, each once, those from the end counted from the start.

    Args:
        layers: as they were asked; all when None.
        num_layers: how many there are.
        first: the number of the first.
        name: of the teacher.

    Raises:
        ConfigError: there is no such layer, or none is asked.
    """
    if layers is None:
        return tuple(range(first, num_layers + 1))
    numbers = sorted({layer + num_layers + 1 if layer < 0 else layer for layer in layers})
    if not numbers or numbers[0] < first or numbers[-1] > num_layers:
        raise ConfigError(
            f"the teacher {name!r} has layers {first} to {num_layers} (or -{num_layers} to -1 from the end), "
            f"got {list(layers)}"
        )
    return tuple(numbers)


def cut(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Clear ``[batch, frames, dim]`` past each row's end."""
    present = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return torch.where(present[:, :, None], hidden, 0)


def _cleaned(wavs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    check_samples(wavs, "wavs")
    lengths = check_lengths(lengths, wavs)
    present = torch.arange(wavs.shape[1], device=wavs.device) < lengths[:, None]
    wavs = wavs if wavs.dtype == torch.float64 else wavs.float()
    return torch.where(present, wavs, 0), lengths
