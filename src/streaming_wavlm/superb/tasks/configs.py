"""The tasks' configs as shipped with the package."""

from __future__ import annotations

from pathlib import Path

from ...errors import SuperbError
from .task import DATA

CONFIGS = Path(__file__).parent.parent / "configs"


def default_config(name: str, mini: bool = False) -> Path:
    """Return a task's config when ``-c`` names none: the prepared corpus's, else SUPERB's as shipped here.

    Args:
        name: S3PRL's name of the task.
        mini: the variant for a small corpus, as shipped here.

    Raises:
        SuperbError: neither exists.
    """
    full = CONFIGS / f"{name}.yaml"
    for path in (CONFIGS / "mini" / full.name,) if mini else (DATA / name / "config.yaml", full):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise SuperbError(
        f"the task {name!r} has no config here and -c gives none; there are configs for {known}; "
        f"S3PRL's repository has its own as s3prl/downstream/{name}/config.yaml"
    )
