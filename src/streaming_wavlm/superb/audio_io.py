"""``load``, ``save`` and ``info`` with torchaudio's signatures, through soundfile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}


@dataclass(frozen=True)
class AudioMetaData:
    """What is known of a file without decoding it; the fields are torchaudio's."""

    sample_rate: int
    num_frames: int
    num_channels: int
    bits_per_sample: int
    encoding: str


def load(
    uri: Any,
    frame_offset: int = 0,
    num_frames: int = -1,
    normalize: bool = True,
    channels_first: bool = True,
    **_ignored: Any,
) -> tuple[Tensor, int]:
    """Read an audio file.

    Args:
        uri: a path or a file object.
        frame_offset: samples to skip.
        num_frames: samples to read, -1 for all.
        normalize: False keeps 16-bit files as int16.
        channels_first: the layout of the result.

    Returns:
        ``[channels, samples]`` in [-1, 1], float32, and the sample rate.
    """
    source = str(uri) if isinstance(uri, str | Path) else uri
    dtype = "float32"
    if not normalize and _info(source).subtype == "PCM_16":
        dtype = "int16"
    data, rate = soundfile.read(
        source, frames=num_frames, start=frame_offset, dtype=dtype, always_2d=True
    )  # [samples, channels]
    wave = torch.from_numpy(data)
    return (wave.T.contiguous() if channels_first else wave), int(rate)


def save(
    uri: Any,
    src: Tensor,
    sample_rate: int,
    channels_first: bool = True,
    format: str | None = None,
    encoding: str | None = None,
    bits_per_sample: int | None = None,
    **_ignored: Any,
) -> None:
    """Write an audio file.

    Args:
        uri: a path or a file object.
        src: ``[channels, samples]`` or ``[samples]``.
        sample_rate: samples per second.
        channels_first: the layout of ``src``.
        format: the container; taken from the name of the file when None.
        encoding: ``PCM_S``, ``PCM_U`` or ``PCM_F``.
        bits_per_sample: 8, 16, 24, 32 or 64.
    """
    wave = src.detach().cpu()
    if wave.dtype == torch.uint8:  # silence is at 128
        wave = (wave.to(torch.int16) - 128) << 8
        encoding, bits_per_sample = encoding or "PCM_U", bits_per_sample or 8
    elif wave.dtype in (torch.float16, torch.bfloat16):
        wave = wave.float()
    if wave.dim() == 2 and channels_first:
        wave = wave.T
    named = isinstance(uri, str | Path)
    target = str(uri) if named else uri
    container = (format or (Path(uri).suffix.removeprefix(".") if named else "wav")).upper() or None
    # Files of float audio are float files, as torchaudio's are, where the container has such a kind.
    subtype = _subtype(encoding, bits_per_sample)
    if subtype is None and container == "WAV" and wave.is_floating_point():
        subtype = "FLOAT"
    soundfile.write(target, wave.numpy(), sample_rate, subtype=subtype, format=container)


def info(uri: Any, *_ignored: Any, **_also_ignored: Any) -> AudioMetaData:
    """Return what is known of a file without decoding it."""
    found = _info(str(uri) if isinstance(uri, str | Path) else uri)
    encoding = {"PCM_U8": "PCM_U", "FLOAT": "PCM_F", "DOUBLE": "PCM_F"}.get(found.subtype)
    if encoding is None:
        encoding = "PCM_S" if found.subtype in _BITS else found.subtype
    return AudioMetaData(
        found.samplerate, found.frames, found.channels, _BITS.get(found.subtype, 0), encoding
    )


def _info(source: Any) -> Any:
    """Return what soundfile knows of a file, and leave a file object where it was."""
    place = source.tell() if hasattr(source, "tell") else None
    found = soundfile.info(source)
    if place is not None:
        source.seek(place)
    return found


def _subtype(encoding: str | None, bits: int | None) -> str | None:
    if encoding is None and bits is None:
        return None
    if encoding == "PCM_F":
        return "DOUBLE" if bits == 64 else "FLOAT"
    if encoding == "PCM_U" or (bits == 8 and encoding is None):
        return "PCM_U8"
    return "PCM_S8" if bits == 8 else f"PCM_{bits or 16}"
