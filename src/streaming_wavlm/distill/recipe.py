"""A recipe: everything that decides what a run computes, read from YAML and the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..augment import AugmentConfig
from ..data import DataConfig
from ..errors import ConfigError
from ..experiment import build, merge, override, read_values
from ..keys import nearest
from .objective_config import ObjectiveConfig
from .settings import (
    CheckpointSettings,
    ChunkChoice,
    LimitSettings,
    LoggingSettings,
    OptimiserSettings,
    RuntimeSettings,
    ScheduleSettings,
    StudentSettings,
    ValidationSettings,
)
from .teachers.config import TeacherConfig

STAGES = "stages"
SELF = "self"
# Where in its folder a finished run leaves the student, and every run its checkpoints.
FINAL = "final"
CHECKPOINTS = "checkpoints"
_SEEDS = 2**64  # torch takes no larger ones


@dataclass(frozen=True)
class Recipe:
    """One stage of training.

    Attributes:
        name: of the stage.
        out: the run's folder.
        steps: how long to train.
        data: what to learn from.
        objective: what to learn.
        teachers: from whom.
        student: who learns.
        augment: how the audio is corrupted; clean when None.
        optimiser: how weights follow gradients.
        schedule: the learning rate over the steps.
        accumulate: batches of one step, on each process.
        chunks: chunk sizes, one drawn for each batch that a process accumulates in a step; the student's own
            when empty.
        validation: how it is measured.
        logging: what is told.
        checkpoints: what is kept.
        limits: when to give up.
        runtime: where to compute.
        seed: of everything that is drawn.
    """

    name: str
    out: str
    steps: int
    data: DataConfig
    objective: ObjectiveConfig
    teachers: tuple[TeacherConfig, ...] = ()
    student: StudentSettings = field(default_factory=StudentSettings)
    augment: AugmentConfig | None = field(default_factory=AugmentConfig)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    accumulate: int = 1
    chunks: tuple[ChunkChoice, ...] = ()
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.accumulate < 1 or not 0 <= self.seed < _SEEDS:
            raise ConfigError(
                "steps and accumulate must be from 1 and seed from 0 to 2**64 - 1, got "
                f"{self.steps}, {self.accumulate} and {self.seed}"
            )
        names = [teacher.name for teacher in self.teachers]
        for name in names:
            if names.count(name) > 1 or name == SELF:
                raise ConfigError(
                    f"teachers need names of their own, other than {SELF!r}; {name!r} is not one"
                )
        for name in self.objective.teachers():
            if name not in (*names, SELF):
                raise ConfigError(
                    f"the objective asks the teacher {name!r}{nearest(name, names)}; "
                    f"there are {', '.join(names)}"
                )


def load_recipe(source: str | os.PathLike[str], words: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """Read a recipe.

    Args:
        source: path of a YAML file, or the name of a recipe that comes with the package.
        words: ``key=value`` each, over what the file says and in every stage; ``stages.NAME.key=value`` in
            one.

    Returns:
        Its stages, in order; one if it has no ``stages``. Each stage has a folder of its own within ``out``,
        and starts from the student of the one before unless it says otherwise.

    Raises:
        UnknownKeyError: a key names no field.
        ConfigError: the file cannot be read, or a value is refused.
    """
    path = find_recipe(source)
    return build_stages(read_values(path), words, path.name)


def find_recipe(source: str | os.PathLike[str]) -> Path:
    """Return the file of a recipe: a path, or one that comes with the package by its name.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    shipped = shipped_recipes()
    name = os.fspath(source).removesuffix(".yaml")
    if name not in shipped:
        raise ConfigError(
            f"there is no recipe {os.fspath(source)!r}{nearest(name, shipped)}; give a YAML file, or one "
            f"that comes with the package: {', '.join(shipped)}"
        )
    return shipped[name]


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package: name → file."""
    folder = Path(str(resources.files("streaming_wavlm") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def build_stages(
    values: Mapping[str, Any], words: Sequence[str] = (), where: str = "recipe"
) -> tuple[Recipe, ...]:
    """Return the stages that a parsed recipe describes; see :func:`load_recipe`."""
    base = {key: value for key, value in values.items() if key != STAGES}
    stages = values.get(STAGES)
    if stages is None:
        return (build(Recipe, override(base, words), where),)
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, Mapping) for stage in stages):
        raise ConfigError(f"{where}.{STAGES} must be a list of mappings, each over what the recipe says")
    names = [str(stage.get("name", number)) for number, stage in enumerate(stages, start=1)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}.{STAGES}: every stage needs a name of its own, got {', '.join(names)}")
    own = {word: word.split(".", 2) for word in words if word.startswith(f"{STAGES}.")}
    for word, parts in own.items():
        if len(parts) < 3 or parts[1] not in names:
            raise ConfigError(
                f"the override {word!r} names no stage; write {STAGES}.NAME.key=value with NAME one of "
                f"{', '.join(names)}"
            )
    built: list[Recipe] = []
    for name, stage in zip(names, stages, strict=True):
        common = [word for word in words if word not in own]
        special = [parts[2] for parts in own.values() if parts[1] == name]
        fields = override(merge({**base, "name": name}, stage), [*common, *special])
        student = override(stage, special).get("student") or {}
        # What is no mapping is refused below, with its name.
        if built and isinstance(student, Mapping) and not student.get("source"):
            fields = merge(fields, {"student": _start_from(built[-1], student.get("init") == "run")})
        if isinstance(fields.get("out"), str):
            fields["out"] = str(Path(fields["out"]) / name)
        built.append(build(Recipe, fields, f"{where} (stage {name})"))
    return tuple(built)


def _start_from(previous: Recipe, whole_run: bool) -> dict[str, Any]:
    """The student of a stage that does not say what it starts from."""
    if whole_run:
        return {"source": previous.out, "num_layers": None}
    return {"init": "checkpoint", "source": str(Path(previous.out) / FINAL), "num_layers": None}
