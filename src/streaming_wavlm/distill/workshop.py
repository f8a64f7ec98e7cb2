"""Everything a run needs before its first step, built from the recipe."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..augment import Augment
from ..config import SAMPLE_RATE
from ..data import BatchPlan, Corpus, DataConfig, HeldOut, Loader, open_corpus
from ..data.reader import NoiseBank, Reader
from ..errors import ConfigError
from ..model import StreamingWavLM
from .geometry import student_geometry
from .inheritance import inherit
from .objective import Objective
from .positional import PositionalObjective
from .recipe import SELF, Recipe
from .runtime import teacher_dtype
from .schedule import ChunkSampler, check_chunks
from .settings import ChunkMs, OptimiserSettings
from .student import build_student, prepare_student
from .task import DistillTask, Teachers
from .teachers import Teacher, TeacherSpec, build

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What a run works with.

    Attributes:
        recipe: the recipe.
        corpus: what to learn from.
        plan: its batches.
        loader: this process's batches.
        held_out: what to measure on; None without ``data.dev``.
        student: the student, on the device.
        teachers: the teachers, on the device.
        task: student and objective, not wrapped.
        chunks: draws chunk sizes.
    """

    recipe: Recipe
    corpus: Corpus
    plan: BatchPlan
    loader: Loader
    held_out: HeldOut | None
    student: StreamingWavLM
    teachers: Teachers
    task: DistillTask
    chunks: ChunkSampler

    @property
    def validation_chunks(self) -> tuple[ChunkMs, ...]:
        """The chunk sizes to measure at."""
        if isinstance(self.task.objective, PositionalObjective):
            return self.chunks.sizes[:1]  # the positional convolution knows no chunks
        return self.recipe.validation.chunk_ms or self.chunks.sizes


def build_workshop(recipe: Recipe, fabric: Any, student: StreamingWavLM | None = None) -> Workshop:
    """Build everything.

    Args:
        recipe: the recipe.
        fabric: launched.
        student: what to begin with, and nothing else that was learnt before; what the recipe names when None.

    Raises:
        ConfigError: the parts do not fit together.
        DataError: a corpus cannot be read.
        CheckpointError: the student's start or a teacher cannot be read.
    """
    data = recipe.data
    corpus = open_corpus(data.train, data.root, data.min_seconds)
    plan = batch_plan(recipe, corpus, fabric.world_size)
    places = range(fabric.global_rank * recipe.accumulate, (fabric.global_rank + 1) * recipe.accumulate)
    loader = Loader(
        Reader(corpus, data.cache),
        plan,
        places=places,
        seed=recipe.seed,
        min_samples=_samples(data.min_seconds),
        max_samples=_samples(data.max_seconds),
        transform=_augment(recipe),
        keep_clean=recipe.augment is not None and recipe.augment.clean_teacher,
        workers=data.workers,
    )
    earlier = recipe.student.run if student is None else None
    student = build_student(recipe.student, recipe.seed) if student is None else student
    prepare_student(student, recipe.objective, recipe.student.freeze)
    chunks = ChunkSampler(recipe.chunks, student.config, recipe.seed)
    check_chunks(recipe.validation.chunk_ms, student.config, "validation.chunk_ms")
    student = student.to(fabric.device)
    models = _teachers(recipe, fabric)
    asked = recipe.objective
    task = DistillTask(student, _objective(recipe, student, models)).to(fabric.device)
    if earlier is not None:
        inherit(task, earlier)
    teachers = Teachers(
        models,
        student,
        _positive(asked.layers_of(SELF), student),
        asked.positional.teacher if asked.positional else None,
    )
    return Workshop(recipe, corpus, plan, loader, _held_out(recipe), student, teachers, task, chunks)


def batch_plan(recipe: Recipe, corpus: Corpus, world: int) -> BatchPlan:
    """Return which recordings make up which batch.

    Args:
        recipe: the recipe.
        corpus: the recordings.
        world: number of processes.
    """
    data = recipe.data
    return BatchPlan(
        corpus.samples.clip(max=_samples(data.max_seconds)),
        corpus.repeats,
        batch_samples=_samples(data.batch_seconds),
        buckets=data.buckets,
        seed=recipe.seed,
        group=world * recipe.accumulate,
    )


def build_optimiser(task: nn.Module, settings: OptimiserSettings, fused: bool) -> torch.optim.AdamW:
    """Return AdamW over what learns: matrices decay, the rest does not.

    Args:
        task: the student and its heads.
        settings: the numbers.
        fused: use torch's fused implementation.
    """
    learning = [(name, weight) for name, weight in task.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [w for name, w in learning if _decays(name, w)], "weight_decay": settings.weight_decay},
        {"params": [w for name, w in learning if not _decays(name, w)], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=fused)


def _decays(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim >= 2 and name.endswith("weight")


def _teachers(recipe: Recipe, fabric: Any) -> dict[str, Teacher]:
    asked = recipe.objective.teachers()
    dtype = teacher_dtype(recipe.runtime)
    models = {}
    for config in recipe.teachers:
        if config.name in asked:
            layers = None if recipe.objective.positional else recipe.objective.layers_of(config.name)
            models[config.name] = build(config, fabric.device, dtype, layers)
        else:
            logger.warning("the objective does not ask the teacher %r: it is not loaded", config.name)
    return models


def _objective(
    recipe: Recipe, student: StreamingWavLM, teachers: dict[str, Teacher]
) -> Objective | PositionalObjective:
    if recipe.objective.positional is not None:
        return PositionalObjective(recipe.objective.positional)
    config = student.config
    specs = {name: teacher.spec for name, teacher in teachers.items()}
    specs[SELF] = TeacherSpec(config.dim, config.num_layers, student_geometry(config))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(recipe.seed)
        return Objective(config, recipe.objective, specs)


def _positive(layers: tuple[int, ...], student: StreamingWavLM) -> tuple[int, ...]:
    count = student.config.num_layers
    return tuple(sorted({layer + count + 1 if layer < 0 else layer for layer in layers}))


def _augment(recipe: Recipe) -> Augment | None:
    if recipe.augment is None:
        return None
    data = recipe.data
    noise = NoiseBank(open_corpus(data.noise, data.root), data.cache) if data.noise else None
    return Augment(recipe.augment, noise)


def _held_out(recipe: Recipe) -> HeldOut | None:
    data: DataConfig = recipe.data
    if not data.dev:
        return None
    if any(source in data.train for source in data.dev):
        raise ConfigError(
            "a source is in data.train and in data.dev; measure on what the student does not learn from"
        )
    seconds = recipe.validation.seconds
    corpus = open_corpus(data.dev, data.root, data.min_seconds)
    limit = None if seconds is None else _samples(seconds)
    reader = Reader(corpus, data.cache)
    return HeldOut(reader, _samples(data.batch_seconds), _samples(data.max_seconds), limit)


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
