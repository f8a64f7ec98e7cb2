"""What a student is asked to learn, as plain values: which of its layers, from whom, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigError
from .heads import POOLS, TARGET_POOLS, Pool, TargetPool
from .losses import INDIRECT, LOSS_KINDS, LossKind
from .target_norm import TARGET_NORMS, TargetNorm

HeadKind = Literal["auto", "none", "linear"]
HEAD_KINDS: tuple[str, ...] = ("auto", "none", "linear")


@dataclass(frozen=True)
class PairConfig:
    """One layer of the student and the layer of a teacher that it is compared with.

    Layers count from 1, the output of the first transformer layer; negative ones from the last, -1.

    Attributes:
        teacher: the teacher's name.
        student_layer: the student's layer.
        teacher_layer: the teacher's layer; 0 is the input of its first layer, where the teacher gives it.
        loss: see :func:`streaming_wavlm.distill.losses.loss_function`.
        weight: what the loss is multiplied with in the sum.
        head: ``"linear"``, ``"none"``, or ``"auto"``: a linear map where the widths differ or time is pooled.
        pool: how the student's frames are summarised for a target that there is once per recording;
            ``"auto"`` is ``"mean_std"`` for such a target.
        target_pool: make one target of the teacher's frames: their ``"mean"``, or ``"mean_std"``, mean and
            standard deviation side by side; ``"none"`` compares frame by frame.
        shift: teacher frames to look on from the one that has heard the same.
        target_norm: normalise each target frame over its width (``"layer"``), each channel over the recording
            (``"instance"``) or over the corpus (``"channel"``), or first each frame, then each channel over
            the corpus (``"layer_channel"``) or each principal component over the corpus (``"whiten"``). Where
            the teacher's frames are pooled, each frame is normalised before and the summary after.
        components: how many principal components of the target ``"whiten"`` keeps, the largest first.
        window: frames within which ``"gram"`` compares.
        units: how many classes ``"units"`` sorts the target's frames into.

    Raises:
        ConfigError: a value is not allowed.
    """

    teacher: str
    student_layer: int
    teacher_layer: int = -1
    loss: LossKind = "mse"
    weight: float = 1.0
    head: HeadKind = "auto"
    pool: Pool = "auto"
    target_pool: TargetPool = "none"
    shift: int = 0
    target_norm: TargetNorm = "none"
    window: int = 50
    units: int = 256
    components: int = 96

    def __post_init__(self) -> None:
        if self.student_layer == 0:
            raise ConfigError("student_layer counts from 1 (or from -1, the last), got 0")
        for name, allowed in (
            ("loss", LOSS_KINDS),
            ("head", HEAD_KINDS),
            ("pool", POOLS),
            ("target_pool", TARGET_POOLS),
            ("target_norm", TARGET_NORMS),
        ):
            one_of(name, getattr(self, name), allowed)
        if not self.weight > 0:
            raise ConfigError(
                f"the weight of a loss must be above 0, got {self.weight!r}; leave the pair out"
            )
        if self.components < 1:
            raise ConfigError(f"components must be at least 1, got {self.components!r}")
        if self.window < 2:
            raise ConfigError(f"window must be at least 2 frames, got {self.window!r}")
        if self.loss in INDIRECT and self.pool not in ("auto", "none"):
            raise ConfigError(f"the loss {self.loss!r} compares frame by frame: it cannot be pooled")
        if self.loss == "units" and (self.head == "none" or self.units < 2):
            raise ConfigError(
                f'the loss "units" needs a linear head and at least 2 units, got head: {self.head} and '
                f"units: {self.units}"
            )

    @property
    def name(self) -> str:
        """How the pair is called in logs: teacher, loss, pooling, student's layer, teacher's layer, shift."""
        pooled = "" if self.target_pool == "none" else f"_{self.target_pool}"
        shift = f"{self.shift:+d}" if self.shift else ""
        return f"{self.teacher}/{self.loss}{pooled}/{self.student_layer}-{self.teacher_layer}{shift}"


@dataclass(frozen=True)
class LayerwiseConfig:
    """The first layers of the student, each compared with the teacher's layer of the same number.

    Attributes:
        teacher: the teacher's name.
        layers: how many layers.
        first_weight: weight of the first layer's loss.
        last_weight: weight of the last layer's loss; those between rise evenly.
        loss: of every pair, as all that follows.
        head: see :class:`PairConfig`.
        shift: see :class:`PairConfig`.
        target_norm: see :class:`PairConfig`.
        window: see :class:`PairConfig`.

    Raises:
        ConfigError: a value is not allowed.
    """

    teacher: str
    layers: int
    first_weight: float = 0.5
    last_weight: float = 1.0
    loss: LossKind = "mse"
    head: HeadKind = "auto"
    shift: int = 0
    target_norm: TargetNorm = "none"
    window: int = 50

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ConfigError(f"layers must be a number of layers from 1, got {self.layers!r}")
        self.pairs()

    def pairs(self) -> tuple[PairConfig, ...]:
        """Return the pair of each layer."""
        weights = rising_weights(self.layers, self.first_weight, self.last_weight)
        return tuple(
            PairConfig(
                self.teacher,
                layer,
                layer,
                self.loss,
                weight,
                self.head,
                shift=self.shift,
                target_norm=self.target_norm,
                window=self.window,
            )
            for layer, weight in enumerate(weights, start=1)
        )


@dataclass(frozen=True)
class PositionalConfig:
    """The positional convolution alone, fed what the teacher's own is fed.

    Attributes:
        teacher: the teacher's name.
        loss: ``"mse"``, ``"l1"``, ``"l1_cosine"``, ``"cosine"`` or ``"gram"``.

    Raises:
        ConfigError: there is no such loss.
    """

    teacher: str
    loss: LossKind = "mse"

    def __post_init__(self) -> None:
        one_of("loss", self.loss, [kind for kind in LOSS_KINDS if kind != "units"])


@dataclass(frozen=True)
class ObjectiveConfig:
    """Everything that a student is asked to learn at one stage.

    Attributes:
        pairs: single pairs of layers.
        layerwise: runs of pairs.
        positional: the positional convolution alone, a stage of its own.

    Raises:
        ConfigError: nothing is asked, something is asked twice, or the positional stage is mixed with pairs.
    """

    pairs: tuple[PairConfig, ...] = ()
    layerwise: tuple[LayerwiseConfig, ...] = ()
    positional: PositionalConfig | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple(self.pairs))
        object.__setattr__(self, "layerwise", tuple(self.layerwise))
        names = [pair.name for pair in self.all_pairs()]
        if (self.positional is None) == (not names):
            raise ConfigError(
                "an objective has pairs of layers, or the positional convolution alone: "
                f"got {len(names)} pairs and positional {self.positional!r}"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"these pairs are given more than once: {', '.join(twice)}; give each once")

    def all_pairs(self) -> tuple[PairConfig, ...]:
        """Return the single pairs and those of the runs."""
        return (*self.pairs, *(pair for run in self.layerwise for pair in run.pairs()))

    def teachers(self) -> tuple[str, ...]:
        """Return the names of the teachers that are asked, in order of appearance."""
        asked = [pair.teacher for pair in self.all_pairs()]
        return tuple(dict.fromkeys([*asked, *([self.positional.teacher] if self.positional else [])]))

    def layers_of(self, teacher: str) -> tuple[int, ...]:
        """Return the layers that a teacher is asked for, as they were given."""
        return tuple(
            dict.fromkeys(pair.teacher_layer for pair in self.all_pairs() if pair.teacher == teacher)
        )


def rising_weights(layers: int, first: float = 0.5, last: float = 1.0) -> tuple[float, ...]:
    """Return a weight for each layer, rising evenly with depth from ``first`` to ``last``."""
    if layers == 1:
        return (last,)
    return tuple(first + (last - first) * index / (layers - 1) for index in range(layers))


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Require a value to be one of those allowed.

    Raises:
        ConfigError: it is not.
    """
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
