"""What a recipe would do and cost: everything is built, a few steps are timed, nothing is written."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import Checkpoint
from ..config import StreamingWavLMConfig
from ..data import DataError
from ..errors import CheckpointNotFoundError
from ..hub import build_model
from ..model import StreamingWavLM
from .measure import measure_targets
from .objective import Objective
from .progress import duration
from .recipe import FINAL, Recipe
from .runtime import build_fabric, launch, precision_of
from .step import Stepper
from .student import scratch_student
from .trainee import build_trainee
from .validation import validate
from .workshop import Workshop, build_workshop

_WARM_UP, _TIMED = 1, 3


def plan_stages(stages: Sequence[Recipe]) -> str:
    """Return the plan of each stage as text.

    A stage that starts from the student of one that has not run is planned with another of its architecture.

    Args:
        stages: as :func:`~streaming_wavlm.distill.recipe.load_recipe` gives them.

    Raises:
        ConfigError: a recipe's parts do not fit together.
        DataError: the data cannot be read.
        CheckpointError: a teacher or a student's start cannot be read.
    """
    plans = []
    architectures: dict[Path, StreamingWavLMConfig] = {}
    for stage in stages:
        try:
            text, architecture = _planned(stage, _stand_in(stage, architectures))
        except CheckpointNotFoundError as error:
            raise type(error)(f"stage {stage.name}: {error}") from error
        architectures[Path(stage.out).expanduser()] = architecture
        plans.append(text)
    return "\n\n".join(plans)


def plan(recipe: Recipe) -> str:
    """Return the plan of one stage as text; a few of its steps are done and forgotten.

    Args:
        recipe: the stage.

    Raises:
        ConfigError: the recipe's parts do not fit together.
        DataError: the data cannot be read.
        CheckpointError: a teacher or the student's start cannot be read.
    """
    return _planned(recipe, None)[0]


def _planned(recipe: Recipe, stand_in: StreamingWavLM | None) -> tuple[str, StreamingWavLMConfig]:
    """The plan of a stage, and its student's architecture; a stand-in begins in the place of its student."""
    fabric = build_fabric(recipe.runtime)
    launch(fabric)
    gc.collect()  # what an earlier stage's plan left is none of this one's memory
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(fabric.device)
    shop = build_workshop(_without_caches(recipe), fabric, stand_in)
    trainee = build_trainee(shop, fabric)
    measure_targets(shop, fabric, steps=_WARM_UP)
    trainee.take_up()
    do_step = Stepper(shop, fabric, trainee.module, trainee.wrapped)
    audio = began = 0.0
    for step in range(_WARM_UP + _TIMED):
        if step == _WARM_UP:
            began = time.monotonic()
        report = do_step(step, shop.loader.load(step))
        audio += report.seconds if step >= _WARM_UP else 0.0
    seconds_per_step = (time.monotonic() - began) / _TIMED
    measuring = _validation_seconds(shop, fabric)
    measurements = -(-recipe.steps // recipe.validation.every) if measuring else 0
    total = seconds_per_step * recipe.steps + measuring * measurements
    corpus, per_epoch = shop.corpus, shop.plan.steps_per_epoch
    size = _count(shop.student.parameters())
    learning = _count(p for p in shop.task.parameters() if p.requires_grad)
    teachers = ", ".join(
        f"{name} {_millions(_count(model.parameters()))}" for name, model in shop.teachers.models.items()
    )
    speed = audio / _TIMED / seconds_per_step
    lines = [
        ("student", f"{_millions(size)} parameters; learning, heads included: {_millions(learning)}"),
        *_start(recipe, stand_in),
        ("architecture", _architecture(shop)),
        ("teachers", (teachers or "none") + _cached(recipe)),
        *_pairs(shop),
        ("chunks", ", ".join(str(size) for size in shop.chunks.sizes) + " ms" ),
        ("data", f"{corpus.hours:.2f} h in {len(corpus.utterances)} recordings, {corpus.dropped} too short"),
        ("steps", f"{recipe.steps} = {recipe.steps / per_epoch:.1f} epochs of {per_epoch} steps, "
                  f"{audio / _TIMED:.0f} s of audio each on {fabric.world_size} processes"),
        ("device", f"{fabric.device}, {precision_of(recipe.runtime)}, {torch.get_num_threads()} threads"),
        ("memory", _memory(fabric)),
        ("time", f"{seconds_per_step:.2f} s a step ({speed:.0f} hours of audio per hour), "
                 f"{measurements} validations of {measuring:.1f} s: {duration(total)} in all"),
        ("folder", str(Path(recipe.out).absolute())),
    ]  # fmt: skip
    text = "\n".join([recipe.name, *(f"  {name:13}{text}" for name, text in lines)])
    return text, shop.student.config


def _stand_in(stage: Recipe, architectures: Mapping[Path, StreamingWavLMConfig]) -> StreamingWavLM | None:
    """A student with random weights for a stage whose own an earlier one has yet to leave; else None.

    Args:
        stage: the stage.
        architectures: of the students of the stages before, by their folders.
    """
    if stage.student.source is None:
        return None
    run = stage.student.run or Path(stage.student.source).expanduser().parent
    if run not in architectures or (run / FINAL).exists():
        return None
    weights = scratch_student(architectures[run], stage.seed).state_dict()
    checkpoint = Checkpoint(weights, stage.student.source, architectures[run].to_dict())
    return build_model(StreamingWavLM, checkpoint, config=stage.student.config)


def _without_caches(recipe: Recipe) -> Recipe:
    """A recipe whose teachers write nothing."""
    return replace(recipe, teachers=tuple(replace(teacher, cache=None) for teacher in recipe.teachers))


def _start(recipe: Recipe, stand_in: StreamingWavLM | None) -> list[tuple[str, str]]:
    if stand_in is None:
        return []
    return [
        ("start", f"{recipe.student.source}, which an earlier stage will leave; here with random weights")
    ]


def _cached(recipe: Recipe) -> str:
    cached = any(teacher.cache is not None for teacher in recipe.teachers)
    return "; each step computes its targets here: with those of the cache it is faster" if cached else ""


def _architecture(shop: Workshop) -> str:
    config = shop.student.config
    return (
        f"{config.num_layers} layers of {config.dim}, front_pad {config.front_pad}, "
        f"lookahead {config.lookahead_size}, window {config.window_size}"
    )


def _pairs(shop: Workshop) -> list[tuple[str, str]]:
    objective = shop.task.objective
    if not isinstance(objective, Objective):
        return [
            ("learns", f"the positional convolution of {objective.config.teacher} ({objective.config.loss})")
        ]
    return [
        (
            "learns" if number == 0 else "",
            f"layer {pair.student_layer} from {pair.teacher} {pair.teacher_layer}: {pair.loss}"
            + ("" if pair.target_pool == "none" else f" of each recording's {pair.target_pool}")
            + f", weight {pair.weight:g}",
        )
        for number, pair in enumerate(objective.pairs)
    ]


def _validation_seconds(shop: Workshop, fabric: Any) -> float:
    """How long one validation takes, judged by the time of its longest batch that can be read."""
    held_out = shop.held_out
    if held_out is None:
        return 0.0
    batches, world = held_out.batches, int(fabric.world_size)
    try:
        for end in range(len(batches), 0, -world):
            held_out.batches = batches[max(0, end - world) : end]
            began = time.monotonic()
            try:
                validate(shop.task, shop.teachers, held_out, shop.validation_chunks, fabric)
            except DataError:
                if end <= world:
                    raise
                continue
            return (time.monotonic() - began) * len(batches) / world
    finally:
        held_out.batches = batches
    return 0.0


def _memory(fabric: Any) -> str:
    if fabric.device.type == "cuda":
        used = torch.cuda.max_memory_allocated(fabric.device)
        return f"{used / 2**30:.1f} GiB of the device at the steps timed"
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return (
        f"{peak / 2**30:.1f} GiB of the process, its highest so far; decoded audio that is kept comes on top"
    )


def _count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"
