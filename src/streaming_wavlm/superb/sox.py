"""The effects of SoX that S3PRL's tasks use, for a torchaudio that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SuperbError
from .audio_io import load
from .silence import Wave, parse_gates, remove_silence

Effect = Callable[[Wave, int, Sequence[str]], tuple[Wave, int]]


def apply_effects_tensor(
    tensor: Tensor, sample_rate: int, effects: Sequence[Sequence[Any]], channels_first: bool = True
) -> tuple[Tensor, int]:
    """Apply a chain of effects, as torchaudio's function of this name did.

    Args:
        tensor: float ``[channels, samples]``, or ``[samples, channels]`` with ``channels_first=False``.
        sample_rate: samples per second.
        effects: each a name and its arguments, such as ``["gain", "-3.0"]``.
        channels_first: the layout of ``tensor`` and of the result.

    Returns:
        The new audio, float32, and its sample rate.

    Raises:
        SuperbError: an effect is not among those known here, or its arguments are wrong.
    """
    wave: Wave = tensor.detach().cpu().double().numpy()
    if not channels_first:
        wave = wave.T
    for name, *arguments in effects:
        if name not in _EFFECTS:
            raise SuperbError(
                f"the SoX effect {name!r} is not available without torchaudio's own; "
                f"there are {', '.join(_EFFECTS)}; a torchaudio below 2.9 with SoX installed has them all"
            )
        wave, sample_rate = _EFFECTS[name](wave, sample_rate, [str(argument) for argument in arguments])
        wave = np.clip(wave, -1, 1)
    result = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    return (result if channels_first else result.T), sample_rate


def apply_effects_file(
    path: str | Path,
    effects: Sequence[Sequence[Any]],
    normalize: bool = True,
    channels_first: bool = True,
    format: str | None = None,
) -> tuple[Tensor, int]:
    """Apply a chain of effects to a file; see :func:`apply_effects_tensor`.

    Args:
        path: an audio file that libsndfile reads.
        effects: each a name and its arguments.
        normalize: has no effect: the result is float32 in [-1, 1].
        channels_first: the layout of the result.
        format: has no effect: libsndfile recognises the format.

    Raises:
        SuperbError: an effect is not among those known here, or its arguments are wrong.
    """
    wave, rate = load(path)
    wave, rate = apply_effects_tensor(wave, rate, effects)
    return (wave if channels_first else wave.T), rate


def effect_names() -> list[str]:
    """Return the names of the effects that exist here."""
    return list(_EFFECTS)


def _channels(wave: Wave, rate: int, arguments: Sequence[str]) -> tuple[Wave, int]:
    if list(arguments) != ["1"]:
        raise SuperbError(f"the channels effect mixes down to 1 channel here, got {' '.join(arguments)!r}")
    return wave.mean(axis=0, keepdims=True), rate


def _rate(wave: Wave, rate: int, arguments: Sequence[str]) -> tuple[Wave, int]:
    import soxr

    target = int(float(_only("rate", arguments)))
    if target == rate:
        return wave, rate
    return np.atleast_2d(soxr.resample(wave.T, rate, target).T), target


def _gain(wave: Wave, rate: int, arguments: Sequence[str]) -> tuple[Wave, int]:
    return wave * 10 ** (_only("gain", arguments) / 20), rate


def _norm(wave: Wave, rate: int, arguments: Sequence[str]) -> tuple[Wave, int]:
    level = 10 ** (_only("norm", arguments or ["0"]) / 20)
    peak = float(np.abs(wave).max(initial=0))
    return (wave * level / peak if peak else wave), rate


def _silence(wave: Wave, rate: int, arguments: Sequence[str]) -> tuple[Wave, int]:
    if len(wave) != 1:
        raise SuperbError(f"the silence effect takes mono audio here, got {len(wave)} channels")
    return remove_silence(wave[0], rate, *parse_gates(arguments, rate))[None], rate


def _only(name: str, arguments: Sequence[str]) -> float:
    try:
        (value,) = arguments
        return float(value)
    except ValueError as error:
        raise SuperbError(f"the {name} effect takes one number here, got {' '.join(arguments)!r}") from error


_EFFECTS: dict[str, Effect] = {
    "channels": _channels,
    "rate": _rate,
    "gain": _gain,
    "norm": _norm,
    "silence": _silence,
}
