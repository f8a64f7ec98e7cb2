"""From a task and the name of a source to what has to be done."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import SuperbError
from .layouts import LAYOUTS
from .records import Material
from .sources import bench, embedded, manifest, original
from .workshop import Layout, Workshop


@dataclass(frozen=True)
class Plan:
    """How a corpus is made.

    Attributes:
        source: what it is made from, in a word or as a path.
        digest: changes when what the source says changes.
        mini: whether the experiment is sized for a small corpus, or is SUPERB's own.
        build: makes it.
    """

    source: str
    digest: str
    mini: bool
    build: Callable[[Workshop], Layout]


def plan_for(task: str, source: str | os.PathLike[str]) -> Plan:
    """Return how to make a task's corpus from a source.

    Args:
        task: S3PRL's name.
        source: as for :func:`~streaming_wavlm.superb.corpora.prepare`.

    Raises:
        SuperbError: the task or the source is not known, or the source is not there.
    """
    if task not in LAYOUTS:
        raise SuperbError(f"no corpus is prepared for the task {task!r}; there are {', '.join(LAYOUTS)}")
    name = os.fspath(source)
    if name == "embedded":
        return _laid_out(task, "embedded", embedded.digest(), lambda seed: embedded.material(task, seed))
    kind, _, place = name.partition(":")
    if kind in ("bench", "bench+extra"):
        if not place:
            raise SuperbError(f"the source {name!r} needs a folder: {kind}:DIR, where bench/ is in DIR")
        root, extra = Path(place).expanduser(), kind == "bench+extra"
        return _laid_out(task, kind, bench.digest(root), lambda _: bench.material(task, root, extra))
    path = Path(name).expanduser()
    if path.suffix == ".tsv":
        return _laid_out(
            task, str(path.resolve()), manifest.digest(path), lambda _: manifest.material(task, path)
        )
    if not path.is_dir():
        raise SuperbError(
            f"there is no corpus at {name!r}: --from takes embedded, bench:DIR, a manifest.tsv, "
            f"or the folder of {original.NAMES[task]}"
        )
    return Plan(str(path.resolve()), "", False, lambda shop: original.CHECKERS[task](path.resolve(), shop))


def _laid_out(task: str, source: str, digest: str, gather: Callable[[int], Material]) -> Plan:
    def build(shop: Workshop) -> Layout:
        material = gather(shop.seed)
        layout = LAYOUTS[task](material, shop)
        return replace(layout, notes=(*material.notes, *layout.notes))

    return Plan(source, digest, True, build)
