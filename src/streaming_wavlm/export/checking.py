"""Does an exported file compute what the model does?"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..audio import Samples
from ..errors import ExportMismatchError, InputError
from ..model import StreamingWavLM
from ..state import check_fingerprint
from .opening import open_exported
from .signature import Precision
from .stepping import advance, in_types_of

_ROWS = 2  # streams of the check, where the file takes any number


@dataclass(frozen=True)
class LayerError:
    """How far one layer of a file is from the model.

    Attributes:
        layer: from 0.
        relative_error: norm of all differences over the norm of all features.
        cosine: mean cosine between a frame here and there.
        lowest_cosine: that of the worst frame.
    """

    layer: int
    relative_error: float
    cosine: float
    lowest_cosine: float


@dataclass(frozen=True)
class Tolerance:
    """What a layer may be off by.

    Attributes:
        relative_error: at most.
        cosine: mean over the frames, at least.
    """

    relative_error: float
    cosine: float


TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(1e-5, 0.999999),
    "bf16": Tolerance(0.05, 0.9995),
    "int8": Tolerance(0.05, 0.999),
}


def check(
    path: str | os.PathLike[str],
    model: StreamingWavLM,
    audio: Samples,
    *,
    tolerance: Tolerance | None = None,
    threads: int | None = None,
) -> list[LayerError]:
    """Stream audio through an exported file and through the model, and compare every layer.

    With several streams, each begins a chunk after the one before, so that they stand at different positions.
    The last feed is cut inside a chunk.

    Args:
        path: the file.
        model: the model it was made from, in float32.
        audio: 16 kHz mono float32 ``[samples]``, at least three chunks.
        tolerance: what a layer may be off by; by the precision of the file when None.
        threads: processor threads of the file's runtime.

    Returns:
        One entry per layer.

    Raises:
        ExportMismatchError: a layer is further off; the message lists the layers.
        ExportError: the file cannot be read.
        StateMismatchError: it is of a model of another config.
        InputError: the audio is too short.
    """
    step = open_exported(path, threads=threads, batch=_ROWS)
    metadata = step.metadata
    batch = metadata.batch or _ROWS
    config = metadata.config
    check_fingerprint(config.fingerprint(), model.config)
    size, chunk = config.chunk_samples, config.chunk_frames
    count = len(audio) // size
    if count < batch + 2:
        raise InputError(
            f"the check needs at least {batch + 2} chunks of {size} samples, got {len(audio)} samples"
        )
    wav = torch.from_numpy(audio[: count * size].copy())[None]
    state = in_types_of(step, model.init_state(batch))
    gathered: list[list[Tensor]] = [[] for _ in range(config.num_layers)]
    wanted: list[list[Tensor]] = [[] for _ in range(config.num_layers)]
    cut = count * chunk - (chunk // 2 if chunk > 1 else 0)
    with torch.inference_mode():
        reference = [layer[0] for layer in model(wav[:, : cut * config.hop]).hidden_states]
        for index in range(count):
            # Row r is r chunks late: what it is fed before its stream begins leaves no trace after a reset.
            starts = [max(index - row, 0) * size for row in range(batch)]
            samples = torch.cat([wav[:, start : start + size] for start in starts])
            frames = torch.tensor([min(chunk, cut - start // config.hop) for start in starts])
            samples[torch.arange(size)[None] >= frames[:, None] * config.hop] = 0
            hidden, state = advance(step, samples.contiguous(), frames, state)
            for row, start in enumerate(starts):
                if index < row:
                    continue
                first, valid = start // config.hop, int(frames[row])
                for layer in range(config.num_layers):
                    gathered[layer].append(hidden[layer][row, :valid])
                    wanted[layer].append(reference[layer][first : first + valid])
            late = [row for row in range(batch) if index < row]
            state = state.reset(late)
    errors = [
        _compare(layer, torch.cat(ours), torch.cat(theirs))
        for layer, (ours, theirs) in enumerate(zip(gathered, wanted, strict=True))
    ]
    _judge(path, errors, tolerance or TOLERANCES[metadata.precision])
    return errors


def _compare(layer: int, ours: Tensor, theirs: Tensor) -> LayerError:
    ours, theirs = ours.double(), theirs.double()
    cosines = F.cosine_similarity(ours, theirs, dim=-1)
    return LayerError(
        layer,
        float((ours - theirs).norm() / theirs.norm()),
        float(cosines.mean()),
        float(cosines.min()),
    )


def _judge(path: object, errors: list[LayerError], tolerance: Tolerance) -> None:
    bad = [
        error
        for error in errors
        # A comparison with NaN is false: such a layer must not pass.
        if not (error.relative_error <= tolerance.relative_error and error.cosine >= tolerance.cosine)
    ]
    if bad:
        found = "; ".join(f"layer {e.layer}: {e.relative_error:.2e}, {e.cosine:.6f}" for e in bad)
        raise ExportMismatchError(
            f"{path} does not compute what the model does (relative error, mean cosine): {found}; "
            f"allowed are {tolerance.relative_error:g} and {tolerance.cosine:g}; use a higher precision"
        )
