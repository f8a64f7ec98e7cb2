"""A speaker encoder as a teacher: one vector per recording that says who speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import CheckpointMismatchError
from .base import Teacher, TeacherSpec
from .mel import MEL_HOP, N_FFT, mel_filters, power_spectrum

_BANDS = 40
# The network was trained on 1.6 s; a recording is heard in such pieces, 1.3 of them per second.
_PIECE = 160
_STEP = round(16_000 / 1.3 / MEL_HOP)
_COVERAGE = 0.75
_LOUDNESS = 10 ** (-30 / 20)
_TRAINING_ONLY = ("similarity_weight", "similarity_bias")


class SpeakerTeacher(Teacher):
    """A GE2E speaker encoder (arXiv 1710.10467): an LSTM over mel bands, then a linear map.

    Its input is that of Resemblyzer, whose published weights it reads: power in 40 mel bands without a
    logarithm, quiet recordings raised to -30 dBFS, pieces of 1.6 s whose vectors are averaged. Silence is not
    cut out.

    Args:
        tensors: the weights, ``lstm.*`` and ``linear.*``.
        name: what the objective calls it.

    Raises:
        CheckpointMismatchError: these are other weights.
    """

    filters: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        weights = {key: value for key, value in tensors.items() if key not in _TRAINING_ONLY}
        lstm, linear = _network(weights, name)
        super().__init__(name, TeacherSpec(linear.out_features, 1, None), None)
        self.lstm, self.linear = lstm, linear
        self.register_buffer("filters", mel_filters(_BANDS))
        self.frozen()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return the vectors ``[batch, 1, dim]`` of length 1; a row without audio has none."""
        pieces = [_pieces(length) for length in lengths.tolist()]
        windows = max((starts[-1] for starts in pieces), default=0) + _PIECE
        mel = self._mel(_raised(wavs, lengths), windows)
        rows = torch.tensor([row for row, starts in enumerate(pieces) for _ in starts], device=wavs.device)
        chosen = torch.stack(
            [mel[row, start : start + _PIECE] for row, starts in enumerate(pieces) for start in starts]
        )
        _, (hidden, _) = self.lstm(chosen.to(self.linear.weight.dtype))
        vectors = F.normalize(torch.relu(self.linear(hidden[-1])), dim=-1)
        sums = vectors.new_zeros(len(wavs), vectors.shape[1]).index_add(0, rows, vectors)
        return [F.normalize(sums, dim=-1)[:, None]], (lengths > 0).long()

    def _mel(self, wavs: Tensor, windows: int) -> Tensor:
        """Return the power in each band, window ``m`` centred at sample 160 m, ``[batch, windows, 40]``."""
        half = N_FFT // 2
        samples = (windows - 1) * MEL_HOP + half
        padded = F.pad(wavs[:, :samples], (half, max(0, samples - wavs.shape[1])))
        return power_spectrum(padded) @ self.filters.to(padded.dtype)


def _pieces(samples: int) -> list[int]:
    """Return the first window of each piece; the last piece goes unless most of it is audio."""
    windows = -(-(samples + 1) // MEL_HOP)
    starts = list(range(0, max(1, windows - _PIECE + _STEP + 1), _STEP))
    covered = (samples - starts[-1] * MEL_HOP) / (_PIECE * MEL_HOP)
    return starts[:-1] if covered < _COVERAGE and len(starts) > 1 else starts


def _raised(wavs: Tensor, lengths: Tensor) -> Tensor:
    """Raise quiet recordings to -30 dBFS."""
    power = wavs.square().sum(1, keepdim=True) / lengths.clamp(min=1)[:, None]
    return wavs * (_LOUDNESS / power.sqrt().clamp(min=1e-12)).clamp(min=1)


def _network(weights: Mapping[str, Tensor], name: str) -> tuple[nn.LSTM, nn.Linear]:
    """Build the network that the weights are of."""
    layers = sum(key.startswith("lstm.weight_ih_l") for key in weights)
    try:
        hidden = weights["lstm.weight_hh_l0"].shape[1]
        lstm = nn.LSTM(_BANDS, hidden, layers, batch_first=True)
        linear = nn.Linear(hidden, weights["linear.bias"].shape[0])
        nn.ModuleDict({"lstm": lstm, "linear": linear}).load_state_dict(dict(weights))
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise CheckpointMismatchError(
            f"the teacher {name!r} is no GE2E speaker encoder of {_BANDS} mel bands ({error}); it needs the "
            "tensors lstm.weight_ih_l0 and so on, linear.weight and linear.bias"
        ) from error
    return lstm, linear
