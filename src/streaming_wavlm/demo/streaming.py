"""A real recording streamed through a model at each chunk size, timed and compared with one pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Samples
from ..config import SAMPLE_RATE
from ..model import StreamingWavLM
from ..presets import CHUNK_MS
from ..session import StreamSession

PACKET = 320  # samples; a live source hands over some 20 ms at a time


@dataclass(frozen=True)
class Measurement:
    """One chunk size.

    Attributes:
        name: the chunk size in words.
        chunk_ms: audio per step, in milliseconds.
        latency_ms: algorithmic latency, in milliseconds.
        real_time_factor: computing time per second of audio.
        step_ms: the longest that one packet kept the caller waiting, in milliseconds.
        difference: the largest difference between a streamed feature and the same one of the one pass.
        magnitude: the root mean square of the features, to compare it with.
        features: the streamed hidden states ``[layers, frames, dim]``.
    """

    name: str
    chunk_ms: int
    latency_ms: float
    real_time_factor: float
    step_ms: float
    difference: float
    magnitude: float
    features: npt.NDArray[np.float32]


def measure_all(model: StreamingWavLM, wav: Samples) -> Iterator[Measurement]:
    """Measure every preset chunk size, from the smallest to the offline one.

    Args:
        model: a causal model.
        wav: 16 kHz mono ``[samples]``.
    """
    for name, chunk_ms in CHUNK_MS.items():
        words = f"{name} ({chunk_ms / 1000:g} s)" if name == "offline" else f"{chunk_ms} ms"
        yield measure(model.with_chunk(chunk_ms), wav, words)


def measure(model: StreamingWavLM, wav: Samples, name: str) -> Measurement:
    """Stream a recording packet by packet at the model's own chunk size.

    Args:
        model: a causal model.
        wav: 16 kHz mono ``[samples]``.
        name: what to call it.
    """
    config = model.config
    StreamSession(model).push(
        np.zeros(config.chunk_samples, dtype=np.float32)
    )  # the first step is always slow
    session = StreamSession(model)
    pieces, longest = [], 0.0
    began = time.perf_counter()
    for start in range(0, len(wav), PACKET):
        before = time.perf_counter()
        pieces.append(session.push(wav[start : start + PACKET]))
        longest = max(longest, time.perf_counter() - before)
    pieces.append(session.finish())
    elapsed = time.perf_counter() - began
    streamed = torch.cat(pieces, dim=1).float().cpu()
    with torch.no_grad():
        output = model(torch.from_numpy(wav)[None].to(model.device, model.dtype))
    whole = torch.stack([layer[0] for layer in output.hidden_states]).float().cpu()
    return Measurement(
        name=name,
        chunk_ms=config.chunk_ms,
        latency_ms=config.latency.algorithmic_ms,
        real_time_factor=elapsed / (len(wav) / SAMPLE_RATE),
        step_ms=1000 * longest,
        difference=float((streamed - whole).abs().max()),
        magnitude=float(whole.square().mean().sqrt()),
        features=streamed.numpy(),
    )
