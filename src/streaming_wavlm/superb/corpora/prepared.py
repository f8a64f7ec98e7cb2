"""Making a corpus: a plan from its source, a temporary folder, and the move to its place."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import SuperbError
from ...files import replacing
from ..digests import CORPUS_FILE, folder_digest
from .plan import plan_for
from .template import fingerprint, read_template, template_path, write_config
from .workshop import Workshop

_FORMAT = 2


@dataclass(frozen=True)
class Prepared:
    """A corpus that is ready for S3PRL.

    Attributes:
        folder: where it is; ``config.yaml`` in it is what ``-c`` takes.
        counts: utterances (or trials, mixtures, recordings) of each split.
        skipped: what was left out, by reason.
        chance: the accuracy on the test split of guessing its most frequent class, where the task has one.
        classes: what each of S3PRL's class names stands for, where that is not the name itself.
        notes: what has to be said about figures from it.
    """

    folder: Path
    counts: dict[str, int]
    skipped: dict[str, int] = field(default_factory=dict)
    chance: float | None = None
    classes: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def config(self) -> Path:
        """The experiment's config."""
        return self.folder / "config.yaml"


def prepare(
    task: str, source: str | os.PathLike[str], out: str | os.PathLike[str], *, seed: int = 0
) -> Prepared:
    """Lay out a corpus the way a task wants it.

    The folder appears whole or not at all. One that an earlier call made from the same source with the same
    seed is left as it is, except that its ``config.yaml`` follows the folder, and this package's configs. (Of
    SUPERB's corpora only the path is compared: delete the folder to have a corpus looked at again.)

    Args:
        task: S3PRL's name, such as ``asr``.
        source: ``embedded``; ``bench:DIR`` with the folder that holds ``bench/`` (``bench+extra:DIR`` trains
            speech recognition on ``extra/`` too); the path of a manifest ending in ``.tsv``; or the folder
            of the corpus that SUPERB uses for the task.
        out: the folder to make.
        seed: of all splits, choices and mixtures.

    Raises:
        SuperbError: the source is missing or incomplete, nothing usable is in it, or the folder holds
            something else.
    """
    folder = Path(out)
    plan = plan_for(task, source)
    template = template_path(task, plan.mini)
    identity = {"format": _FORMAT, "task": task, "source": plan.source, "digest": plan.digest, "seed": seed}
    if folder.exists() and any(folder.iterdir()):
        return _existing(folder, identity, template)
    final = folder.resolve()
    with _taking_the_place_of(folder) as making:
        shop = Workshop(making, final, seed, read_template(template))
        layout = plan.build(shop)
        notes = layout.notes
        if shop.resampled:
            notes = (*notes, f"{shop.resampled} recordings at other rates were resampled to 16 kHz")
        prepared = Prepared(
            folder, dict(shop.counts), dict(shop.skipped), layout.chance, layout.classes, notes
        )
        facts = {key: value for key, value in asdict(prepared).items() if key != "folder"}
        write_config(template, layout.paths, making, final)
        content = folder_digest(making, final)
        facts |= {"content": content, "paths": layout.paths}
        _write_facts(making, {**identity, **facts, **_stamp(final, template)})
    return prepared


def _stamp(final: Path, template: Path) -> dict[str, str]:
    """What ``config.yaml`` was written from, besides the paths in the corpus."""
    return {"place": str(final), "template": fingerprint(template)}


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    with replacing(folder / CORPUS_FILE) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _existing(folder: Path, identity: dict[str, Any], template: Path) -> Prepared:
    try:
        facts = json.loads((folder / CORPUS_FILE).read_text(encoding="utf-8"))
        same = {key: facts[key] for key in identity} == identity
        found = Prepared(
            folder,
            facts["counts"],
            facts["skipped"],
            facts["chance"],
            facts["classes"],
            tuple(facts["notes"]),
        )
        paths, stamp = facts["paths"], {key: facts[key] for key in ("place", "template")}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SuperbError(
            f"{folder} exists and is not a corpus that this command made ({error}); give another --out"
        ) from error
    if not same:
        raise SuperbError(
            f"{folder} was made with other settings, or its source has changed since; "
            "delete it or give another --out"
        )
    now = _stamp(folder.resolve(), template)
    if stamp != now or not found.config.is_file():
        write_config(template, paths, folder, folder.resolve())
    current = {**facts, **now}
    if "content" not in facts:  # an earlier version made it
        current["content"] = folder_digest(folder, Path(stamp["place"]))
    if current != facts:
        _write_facts(folder, current)
    return found


@contextlib.contextmanager
def _taking_the_place_of(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside the one wanted; in the end it takes its place, or is removed on an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield making
        making.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        making.replace(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
