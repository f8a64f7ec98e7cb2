"""The parts of a recipe that say how to train: student, optimiser, schedule, and what is written when."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError

ChunkMs = int | Literal["whole"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "64-true"]


@dataclass(frozen=True)
class StudentSettings:
    """The student and what it starts from.

    Attributes:
        init: ``"scratch"``; ``"checkpoint"``, a model of this package; ``"run"``, all that a run of this
            trainer has learnt, its heads and the statistics of its objective too; ``"convert"``, the first
            layers of an offline WavLM.
        source: what the others read: a path or hub id, for ``"run"`` the run's folder; a later stage starts
            from the one before when None.
        preset: the architecture of a student from scratch, ``"large"`` or ``"mini"``.
        num_layers: how many layers ``"convert"`` keeps.
        config: architecture fields, over the preset or what the source says.
        freeze: parameters that do not learn: names with ``*`` for anything.
    """

    init: Literal["scratch", "checkpoint", "run", "convert"] = "scratch"
    source: str | None = None
    preset: str = "mini"
    num_layers: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.init == "scratch" and (self.source or self.num_layers):
            raise ConfigError('init "scratch" takes neither source nor num_layers; give preset and config')
        if self.init in ("checkpoint", "run") and self.num_layers:
            raise ConfigError("num_layers is for init 'convert'; a checkpoint has the layers it has")

    @property
    def run(self) -> Path | None:
        """The folder of the run that it starts from; None if it starts from something else."""
        return Path(self.source).expanduser() if self.init == "run" and self.source is not None else None


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW; matrices decay, biases, norms and scales do not.

    Attributes:
        lr: the highest learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the latter.
        weight_decay: pulled off matrices, times the learning rate.
        clip: the longest gradient; longer ones are shortened. None for any length.
    """

    lr: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        if not self.lr > 0 or (self.clip is not None and not self.clip > 0):
            raise ConfigError(f"lr and clip must be above 0, got {self.lr} and {self.clip}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must be from 0 to below 1, got {list(self.betas)}")
        if not (self.eps >= 0 and self.weight_decay >= 0):
            raise ConfigError(f"eps and weight_decay must be from 0, got {self.eps} and {self.weight_decay}")


@dataclass(frozen=True)
class ScheduleSettings:
    """The learning rate over the steps.

    Attributes:
        kind: after the warm-up: ``"cosine"`` or ``"linear"`` down to the end, or ``"constant"``.
        warmup: steps over which it rises from 0.
        final: what is left of it in the end, as a share.
        cooldown: the last steps of ``"constant"``, over which it falls evenly to ``final``. Until they begin,
            both numbers of steps can still be changed: the run goes on as if it had been so from the start.
    """

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: int = 0
    final: float = 0.1
    cooldown: int = 0

    def __post_init__(self) -> None:
        if min(self.warmup, self.cooldown) < 0 or not 0 <= self.final <= 1:
            raise ConfigError(
                "warmup and cooldown must be from 0 and final from 0 to 1, got "
                f"{self.warmup}, {self.cooldown} and {self.final}"
            )
        if self.cooldown and self.kind != "constant":
            raise ConfigError(f"cooldown ends a constant rate; {self.kind!r} falls all the way by itself")


@dataclass(frozen=True)
class ChunkChoice:
    """A chunk size and how often it is drawn.

    Attributes:
        ms: milliseconds, or ``"whole"`` for the whole recording.
        weight: how likely it is, against the others.
    """

    ms: ChunkMs
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError(f"the weight of a chunk size must be above 0, got {self.weight}; leave it out")


@dataclass(frozen=True)
class ValidationSettings:
    """How the student is measured on ``data.dev``.

    Attributes:
        every: steps between two measurements.
        chunk_ms: the chunk sizes; those that are drawn in training when empty.
        seconds: the most audio to use; all when None.
    """

    every: int = 1000
    chunk_ms: tuple[ChunkMs, ...] = ()
    seconds: float | None = 600.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"every must be a number of steps from 1, got {self.every}")


@dataclass(frozen=True)
class LoggingSettings:
    """What is told about the run.

    Attributes:
        every: steps between two points of a curve; each is the mean over them.
        wandb: project to log to with Weights & Biases, beside TensorBoard; none when None.
    """

    every: int = 10
    wandb: str | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"every must be a number of steps from 1, got {self.every}")


@dataclass(frozen=True)
class CheckpointSettings:
    """What is kept of the run.

    Attributes:
        every: steps between two checkpoints.
        keep: the last so many stay, and the best.
        export_dtype: floating-point type of the exported students.
        export_pt: also write ``student.pt``, a dict with ``student_state_dict``.
    """

    every: int = 1000
    keep: int = 3
    export_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    export_pt: bool = False

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ConfigError(f"every and keep must be from 1, got {self.every} and {self.keep}")


@dataclass(frozen=True)
class LimitSettings:
    """When to give up.

    Attributes:
        skipped_in_a_row: steps with a NaN or infinite loss or gradient, one after the other.
        skipped: such steps in all.
    """

    skipped_in_a_row: int = 10
    skipped: int = 100


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and in which precision the run computes.

    Attributes:
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        devices: how many per node, or ``"auto"``; what ``torchrun`` says, under it.
        nodes: machines.
        strategy: ``"auto"`` (one process, or DDP if there are more), ``"ddp"``, or ``"fsdp"``: parameters,
            gradients and optimiser in shards over the processes.
        precision: of the student: ``"auto"`` is bf16-mixed where a GPU has it, else 32-true.
        teacher_dtype: of the teachers: ``"auto"`` is bfloat16 where a GPU has it, else float32.
        threads: of the CPU; torch's own choice when None.
    """

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int | Literal["auto"] = 1
    nodes: int = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["auto"] | Precision = "auto"
    teacher_dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.nodes < 1 or (self.threads is not None and self.threads < 1):
            raise ConfigError(
                f"nodes and threads must be from 1, got {self.nodes} and {self.threads}; leave threads out "
                "for torch's own choice"
            )
