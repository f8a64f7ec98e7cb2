"""What an experiment says about its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streaming_wavlm.errors import ConfigError

SourceKind = Literal["tsv", "cuts", "recordings", "shar", "folder"]


@dataclass(frozen=True)
class SourceConfig:
    """Where recordings come from.

    Attributes:
        path: a manifest, a Shar folder or a folder of audio; relative to ``DataConfig.root``.
        kind: ``"tsv"`` (tab-separated with a header; columns id, path, seconds), ``"cuts"`` or
            ``"recordings"`` (Lhotse manifests), ``"shar"`` (a folder of Lhotse Shar), or
            ``"folder"`` of audio.
        base: for ``"tsv"``, the folder that its paths are relative to; the one above the manifest's folder
            when None.
        where: for ``"tsv"``, column → the values to keep.
        exclude: for ``"tsv"``, column → the values to leave out.
        repeat: how often each recording is seen in an epoch; 0.5 is a random half of them, a new one each.
        speeds: how fast each recording is played, once at each of these, as if they were recordings of their
            own: 1.1 is a tenth faster and higher.
    """

    path: str
    kind: SourceKind = "tsv"
    base: str | None = None
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: dict[str, tuple[str, ...]] = field(default_factory=dict)
    repeat: float = 1.0
    speeds: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "speeds", tuple(self.speeds))
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise ConfigError(f"speeds must be numbers from 0.5 to 2, at least one, got {list(self.speeds)}")
        if self.repeat <= 0:
            raise ConfigError(f"repeat must be above 0, got {self.repeat}; leave the source out instead")
        if self.kind != "tsv" and (self.where or self.exclude or self.base):
            raise ConfigError(f"base, where and exclude are for kind 'tsv', not for {self.kind!r}")


@dataclass(frozen=True)
class DataConfig:
    """The recordings of an experiment and how they are put into batches.

    Attributes:
        train: what to learn from.
        dev: what to measure on.
        noise: recordings of noise for the augmentation; synthetic noise when empty.
        root: what the sources' paths are relative to; the working folder by default.
        batch_seconds: the most audio of one batch, padding included, in seconds.
        max_seconds: longer recordings are cut at random, anew each epoch.
        min_seconds: shorter recordings are dropped, and counted.
        buckets: groups of similar length that batches are made from.
        workers: threads that read ahead; 0 reads when asked. The batches are the same.
        cache: keep decoded audio in memory, noise too, as 16-bit integers (1 GB holds 8.7 hours).
        max_bad_share: the share of unreadable files past which to stop.
    """

    train: tuple[SourceConfig, ...]
    dev: tuple[SourceConfig, ...] = ()
    noise: tuple[SourceConfig, ...] = ()
    root: str = "."
    batch_seconds: float = 120.0
    max_seconds: float = 15.0
    min_seconds: float = 0.5
    buckets: int = 20
    workers: int = 1
    cache: bool = False
    max_bad_share: float = 0.02

    def __post_init__(self) -> None:
        if not self.train:
            raise ConfigError("train must name at least one source")
        if not 0 < self.min_seconds <= self.max_seconds <= self.batch_seconds:
            raise ConfigError(
                "min_seconds, max_seconds and batch_seconds must be above 0 and in rising order, got "
                f"{self.min_seconds:g}, {self.max_seconds:g} and {self.batch_seconds:g}"
            )
        if self.buckets < 1 or self.workers < 0:
            raise ConfigError(
                f"buckets must be from 1 and workers from 0, got {self.buckets} and {self.workers}"
            )
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(f"max_bad_share must be from 0 to 1, got {self.max_bad_share}")
