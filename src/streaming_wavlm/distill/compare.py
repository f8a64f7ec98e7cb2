"""A student beside a teacher: where in depth and in time it differs, at each chunk size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..audio import Samples
from ..config import SAMPLE_RATE
from ..errors import ConfigError, InputError
from ..model import StreamingWavLM
from .alignment import aligned_targets, teacher_indices
from .compare_fit import LinearMap, RidgeFit
from .compare_result import Comparison, LayerPair, Through
from .compare_tally import Spread, Tally
from .geometry import student_geometry
from .schedule import ChunkSampler, chunk_in_ms
from .settings import ChunkChoice, ChunkMs
from .teachers import Targets, Teacher, targets_of

logger = logging.getLogger(__name__)

CHUNKS: tuple[ChunkMs, ...] = (200, 400, 800, "whole")


@dataclass(frozen=True)
class _Heard:
    """What student and teacher say of one recording at one chunk size, frame beside frame.

    Attributes:
        tally: index of the chunk size.
        ours: the student's frames, ``[frames, dim]`` of each pair.
        theirs: the teacher's, ``[frames, teacher dim]`` of each pair.
        frames: their positions, int64 ``[frames]``.
        length: the student's frames in all.
    """

    tally: int
    ours: list[Tensor]
    theirs: list[Tensor]
    frames: Tensor
    length: int


def compare(
    student: StreamingWavLM,
    teacher: Teacher | None,
    recordings: Sequence[Samples],
    *,
    chunks: Sequence[ChunkMs] = CHUNKS,
    pairs: Sequence[LayerPair] | None = None,
    shift: int = 0,
    through: Through | Literal["auto"] = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Compare a student with a teacher.

    Args:
        student: a causal model, in eval mode.
        teacher: a teacher that speaks at every frame, on the student's device; None for the student itself,
            hearing the whole recording.
        recordings: 16 kHz mono audio in [-1, 1], ``[samples]`` each; one at a time is asked for, each once.
        chunks: chunk sizes in milliseconds, or ``"whole"``.
        pairs: the layers to compare; those of :func:`paired_layers` when None.
        shift: teacher frames to go on from those that have heard the same.
        through: ``"direct"`` compares the frames as they are, ``"map"`` behind a linear map to the teacher's
            channels, each brought to variance 1, fitted on every other recording, from the first on, and
            scored on the rest; ``"auto"`` is ``"direct"`` where both
            are equally wide.
        on_progress: called after each recording with how many are done.

    Raises:
        ConfigError: the student cannot stream, a layer or a chunk size cannot be had, or a direct comparison
            is asked of different widths.
        InputError: there is not enough audio, or too much for the teacher.
    """
    config = student.config
    if not config.causal:
        raise ConfigError("a bidirectional model has no chunks to compare; give the streaming student first")
    ChunkSampler([ChunkChoice(chunk) for chunk in chunks], config, seed=0)  # it refuses what cannot be
    through = _through(student, teacher, through)
    chosen = tuple(pairs) if pairs else paired_layers(student, teacher)
    _check_pairs(chosen, student, teacher)
    fitting = recordings[0::2] if through == "map" else recordings[:0]
    scoring = recordings[1::2] if through == "map" else recordings
    if not len(scoring):
        raise InputError(
            f"there are {len(recordings)} recordings; give at least one, or two where a map is fitted on one "
            "half of them and scored on the other"
        )
    tallies = [Tally(chunk, config, len(chosen)) for chunk in chunks]
    spreads = [Spread() for _ in chosen]
    fits = [[RidgeFit() for _ in chosen] for _ in chunks]
    done = samples = 0
    with torch.no_grad():
        for wav in fitting:
            for heard in _listen(student, teacher, wav, chosen, chunks, shift):
                for fit, ours, theirs in zip(fits[heard.tally], heard.ours, heard.theirs, strict=True):
                    fit.add(ours, theirs)
            done = _told(on_progress, done)
        maps = _solved(fits, config.dim) if through == "map" else None
        for wav in scoring:
            samples += len(wav)
            for heard in _listen(student, teacher, wav, chosen, chunks, shift):
                for pair, (ours, theirs) in enumerate(zip(heard.ours, heard.theirs, strict=True)):
                    if maps is None:
                        prediction, target = ours, theirs
                    else:
                        fitted = maps[heard.tally][pair]
                        prediction, target = fitted(ours), fitted.target(theirs)
                    if heard.tally == 0:
                        spreads[pair].add(target)
                    tallies[heard.tally].add(pair, prediction, target, heard.frames, heard.length)
            done = _told(on_progress, done)
    sizes = [spread.of(pair) for spread, pair in zip(spreads, chosen, strict=True)]
    results = tuple(tally.result(sizes) for tally in tallies)
    return Comparison(chosen, through, shift, len(scoring), samples / SAMPLE_RATE, results)


def paired_layers(
    student: StreamingWavLM, teacher: Teacher | None, layers: Sequence[int] | None = None
) -> tuple[LayerPair, ...]:
    """Return which layer of a teacher belongs to each layer of a student.

    It is the layer of the same number where the teacher is as wide and as deep, or deeper (a student is made
    of its first layers), or is the student; otherwise the one at the same share of the depth.

    Args:
        student: the student.
        teacher: the teacher; None for the student itself.
        layers: the student's layers, from 1 or from the end from -1; all when None.
    """
    config = student.config
    count = config.num_layers
    numbers = range(1, count + 1) if layers is None else [n + count + 1 if n < 0 else n for n in layers]
    if teacher is None or (teacher.spec.dim == config.dim and teacher.spec.num_layers >= count):
        return tuple(LayerPair(number, number) for number in numbers)
    depth = teacher.spec.num_layers
    return tuple(LayerPair(number, max(1, round(number * depth / count))) for number in numbers)


def _through(student: StreamingWavLM, teacher: Teacher | None, asked: Through | Literal["auto"]) -> Through:
    if teacher is None:
        return "direct" if asked == "auto" else asked
    if teacher.spec.geometry is None:
        raise ConfigError(
            f"the teacher {teacher.name!r} speaks once per recording; a comparison needs one that speaks at "
            "every frame"
        )
    ours, theirs = student.config.dim, teacher.spec.dim
    if asked == "direct" and ours != theirs:
        raise ConfigError(
            f"the student has {ours} channels and the teacher {theirs}: they cannot be compared directly; "
            "compare through a map"
        )
    if asked == "auto":
        return "direct" if ours == theirs else "map"
    return asked


def _check_pairs(pairs: Sequence[LayerPair], student: StreamingWavLM, teacher: Teacher | None) -> None:
    depth = student.config.num_layers
    given = tuple(range(1, depth + 1)) if teacher is None else teacher.layers
    for pair in pairs:
        if not 1 <= pair.student <= depth:
            raise ConfigError(f"the student has layers 1 to {depth}, got {pair.student}")
        if pair.teacher not in given:
            raise ConfigError(f"the teacher gives layers {_words(given)}, got {pair.teacher}")
    if len(set(pairs)) < len(pairs):
        raise ConfigError(f"every pair of layers can be compared once, got {' '.join(map(str, pairs))}")


def _words(layers: Sequence[int]) -> str:
    whole = len(layers) > 2 and layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers))


def _listen(
    student: StreamingWavLM,
    teacher: Teacher | None,
    wav: Samples,
    pairs: Sequence[LayerPair],
    chunks: Sequence[ChunkMs],
    shift: int,
) -> Iterator[_Heard]:
    """Run both over a recording, the teacher once and the student at each chunk size."""
    config = student.config
    wavs = torch.as_tensor(wav).to(student.device, student.dtype)[None]
    lengths = torch.tensor([wavs.shape[1]], device=wavs.device)
    targets: Targets
    if teacher is None:
        targets = targets_of(student, wavs, lengths, [pair.teacher for pair in pairs])
    else:
        targets = teacher(wavs, lengths)
    if targets.geometry is None:
        raise ConfigError("a comparison needs a teacher that speaks at every frame")
    indices = teacher_indices(
        student_geometry(config), targets.geometry, config.num_frames(wavs.shape[1]), shift, wavs.device
    )
    for tally, chunk in enumerate(chunks):
        output = student(wavs, lengths, chunk_ms=chunk_in_ms(chunk, wavs.shape[1], config))
        ours, theirs, frames = [], [], indices[:0]
        for pair in pairs:
            wanted, mask = aligned_targets(
                targets.layer(pair.teacher), targets.lengths, indices, output.lengths
            )
            ours.append(output.hidden_states[pair.student - 1][mask])
            theirs.append(wanted[mask])
            frames = mask[0].nonzero().flatten()
        yield _Heard(tally, ours, theirs, frames, int(output.lengths[0]))


def _solved(fits: Sequence[Sequence[RidgeFit]], dim: int) -> list[list[LinearMap]]:
    frames = fits[0][0].frames
    if not frames:
        raise InputError("the recordings that the map is fitted on have no frame; give longer ones")
    if frames < 4 * dim:
        logger.warning(
            "the maps from %d channels are fitted on %d frames (%.0f s) only, and will look worse than they "
            "are; give more audio",
            dim, frames, frames / 50,
        )  # fmt: skip
    return [[fit.solved() for fit in row] for row in fits]


def _told(on_progress: Callable[[int], None] | None, done: int) -> int:
    if on_progress is not None:
        on_progress(done + 1)
    return done + 1
