"""What is known of each SUPERB task beyond S3PRL's own code for it."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SuperbError

CONFIGS = Path(__file__).parent / "configs"
# Where a corpus is looked for, from where the command is run, when nothing else is said.
DATA = Path("data")


@dataclass(frozen=True)
class Task:
    """One of S3PRL's downstream tasks.

    Attributes:
        name: S3PRL's name, the value of ``-d``.
        needs: what must exist before the task starts: the config key of each path, and what it is.
        metric: what the score is called.
        score: reads the test score from the folder of an experiment that was evaluated.
        isolate: mends what S3PRL's code would keep from one corpus to the next; called before a run.
    """

    name: str
    needs: Mapping[str, str]
    metric: str
    score: Callable[[Path], float]
    isolate: Callable[[], None] = lambda: None

    @property
    def prepared(self) -> Path:
        """Where ``superb prepare`` puts the corpus unless told otherwise."""
        return DATA / self.name

    def missing(self, config: Mapping[str, Any]) -> str | None:
        """Return what the config points at and is not there, with what to do; None when all is there.

        Args:
            config: the experiment's.
        """
        gone = []
        for key, what in self.needs.items():
            value = _lookup(config, key)
            if not value or not Path(str(value)).exists():
                gone.append(f"{what} at {value or '(no path)'} (config.{key})")
        if not gone:
            return None
        options = ",,".join(f"config.{key}='...'" for key in self.needs)
        return (
            f"{self.name} does not find {' nor '.join(gone)}; point at yours with "
            f'-o "{options}", or lay out the speech embedded in this package with '
            f"`streaming-wavlm superb prepare {self.name} --from embedded --out {self.prepared}` "
            "and run the same command again"
        )


def default_config(name: str) -> Path:
    """Return a task's config when ``-c`` names none: the prepared corpus's, else SUPERB's as shipped here.

    Args:
        name: S3PRL's name of the task.

    Raises:
        SuperbError: neither exists.
    """
    for path in (DATA / name / "config.yaml", CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise SuperbError(
        f"the task {name!r} has no config here and -c gives none; there are configs for {known}; "
        f"S3PRL's repository has its own as s3prl/downstream/{name}/config.yaml"
    )


def _lookup(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _isolate_voxceleb1() -> None:
    """S3PRL keeps lists of files in its installed folder, by split: a second corpus would get the first's."""
    module = importlib.import_module("s3prl.downstream.voxceleb1.dataset")
    dataset = module.SpeakerClassifiDataset
    if hasattr(dataset, "isolated"):
        return
    init = dataset.__init__

    def isolated(self: Any, mode: str, file_path: Any, meta_data: Any, *args: Any, **kwargs: Any) -> None:
        key = hashlib.sha256(f"{Path(file_path).resolve()}\n".encode() + Path(meta_data).read_bytes())
        folder = cache_folder() / "voxceleb1" / key.hexdigest()[:16]
        module.__dict__["CACHE_PATH"] = str(folder)
        init(self, mode, file_path, meta_data, *args, **kwargs)

    dataset.__init__ = isolated
    dataset.isolated = True


def _share_correct(folder: Path) -> float:
    """Return the share of lines on which S3PRL's predictions and truths agree."""
    predicted, truth = (
        (folder / f"test_{name}.txt").read_text(encoding="utf-8").splitlines()
        for name in ("predict", "truth")
    )
    return sum(a == b for a, b in zip(predicted, truth, strict=True)) / len(truth)


def cache_folder() -> Path:
    """Return where lists of files are kept: the user's cache, or ``STREAMING_WAVLM_CACHE``."""
    given = os.environ.get("STREAMING_WAVLM_CACHE")
    if given:
        return Path(given) / "s3prl"
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "streaming-wavlm" / "s3prl"


_DATA = "downstream_expert.datarc"
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="voxceleb1",
            needs={
                f"{_DATA}.file_path": "the recordings",
                f"{_DATA}.meta_data": "the list of its splits (iden_split.txt of VoxCeleb1)",
            },
            metric="accuracy",
            score=_share_correct,
            isolate=_isolate_voxceleb1,
        ),
    )
}
