"""The config of a prepared corpus: the one that ships for its task, with the corpus' paths put in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...errors import SuperbError
from ...files import replacing
from ..tasks import CONFIGS
from ..tasks.task import assign


def template_path(task: str, mini: bool) -> Path:
    """Return where the task's config ships: SUPERB's own, or the one sized for small corpora."""
    return (CONFIGS / "mini" if mini else CONFIGS) / f"{task}.yaml"


def read_template(path: Path) -> dict[str, Any]:
    """Return a config.

    Raises:
        SuperbError: there is none.
    """
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SuperbError(f"the config {path.name} does not ship with this installation: {error}") from error


def fingerprint(path: Path) -> str:
    """Return what changes with the config's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def write_config(template: Path, paths: Mapping[str, str], folder: Path, final: Path) -> None:
    """Write ``config.yaml``: the template, with paths put in and nothing else changed.

    Args:
        template: the config to start from.
        paths: by key, such as ``downstream_expert.datarc.libri_root``; relative ones are in the corpus.
        folder: where to write it.
        final: where the corpus is going to be.
    """
    config = read_template(template)
    for key, path in paths.items():
        assign(config, key, str(final / path))
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
