"""A teacher as a recipe names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigError
from ..objective_config import one_of

TeacherKind = Literal["transformers", "reference", "speaker", "logmel"]
TEACHER_KINDS: tuple[str, ...] = ("transformers", "reference", "speaker", "logmel")


@dataclass(frozen=True)
class TeacherConfig:
    """Which model teaches, and how it is asked.

    Attributes:
        name: what the objective calls it.
        kind: ``"transformers"``, a speech model of that library; ``"reference"``, a model of this package or
            one that it converts; ``"speaker"``, a GE2E speaker encoder; ``"logmel"``, the log-mel spectrum.
        source: path or hub id of the model; ``"logmel"`` has none.
        layers: the layers to give; what the objective asks for when None.
        normalize: whether the teacher hears each recording brought to mean 0 and variance 1; what the model's
            own ``preprocessor_config.json`` says when None. Only for ``"transformers"``.
        dtype: floating-point type of its weights, such as ``"bfloat16"``; the trainer's choice when None.
        chunk_ms: chunk of a causal ``"reference"`` in milliseconds, or ``"whole"`` for the whole recording;
            the model's own when None.
        mels: bands of ``"logmel"``.
        ahead: frames of 20 ms after the current one that a ``"logmel"`` target holds too.
        cache: folder in which targets are kept between epochs and runs; none when None.
        cache_gb: the most that folder may hold, in 10^9 bytes.

    Raises:
        ConfigError: a value is not allowed, or belongs to another kind.
    """

    name: str
    kind: TeacherKind = "transformers"
    source: str | None = None
    layers: tuple[int, ...] | None = None
    normalize: bool | None = None
    dtype: str | None = None
    chunk_ms: int | Literal["whole"] | None = None
    mels: int = 40
    ahead: int = 1
    cache: str | None = None
    cache_gb: float = 20.0

    def __post_init__(self) -> None:
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
        if not self.name or "/" in self.name:
            raise ConfigError(f"a teacher needs a name without '/', got {self.name!r}")
        one_of(f"the kind of the teacher {self.name!r}", self.kind, TEACHER_KINDS)
        if (self.source is None) != (self.kind == "logmel"):
            raise ConfigError(
                f"the teacher {self.name!r} of kind {self.kind!r} "
                + ("is computed: leave source out" if self.source else "needs a source: a path or a hub id")
            )
        for field, kind in (("normalize", "transformers"), ("chunk_ms", "reference")):
            if getattr(self, field) is not None and self.kind != kind:
                raise ConfigError(
                    f"{field} is for teachers of kind {kind!r}; {self.name!r} is of kind {self.kind!r}"
                )
        if self.mels < 1 or self.ahead < 0:
            raise ConfigError(
                f"mels must be at least 1 and ahead at least 0, got {self.mels} and {self.ahead}"
            )
        if not self.cache_gb > 0:
            raise ConfigError(
                f"cache_gb must be above 0, got {self.cache_gb!r}; for no cache leave cache out"
            )
