"""S3PRL keeps lists of files in its installed folder, by split only; here they are kept by corpus."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Return where lists of files are kept: the user's cache, or ``STREAMING_WAVLM_CACHE``."""
    given = os.environ.get("STREAMING_WAVLM_CACHE")
    if given:
        return Path(given) / "s3prl"
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "streaming-wavlm" / "s3prl"


def isolate_voxceleb1() -> None:
    """Keep the files of each split by the corpus and its list of splits."""
    module = importlib.import_module("s3prl.downstream.voxceleb1.dataset")
    dataset = module.SpeakerClassifiDataset
    if hasattr(dataset, "isolated"):
        return
    init = dataset.__init__

    def isolated(self: Any, mode: str, file_path: Any, meta_data: Any, *args: Any, **kwargs: Any) -> None:
        key = [str(Path(file_path).resolve()).encode(), Path(meta_data).read_bytes()]
        module.__dict__["CACHE_PATH"] = str(_place("voxceleb1", key))
        init(self, mode, file_path, meta_data, *args, **kwargs)

    dataset.__init__ = isolated
    dataset.isolated = True


def isolate_sv_voxceleb1() -> None:
    """Keep the trimmed lengths by the corpus and the files in it."""
    module = importlib.import_module("s3prl.downstream.sv_voxceleb1.dataset")
    dataset = module.SpeakerVerifi_train
    if hasattr(dataset, "isolated"):
        return
    init = dataset.__init__

    def isolated(
        self: Any, vad_config: Any, key_list: Any, file_path: Any, *args: Any, **kwargs: Any
    ) -> None:
        # It puts its cache beside its own file, and asks where that is each time.
        own = module.__file__
        folder = _place("sv_voxceleb1", (line for root in file_path for line in _listing(Path(root))))
        folder.mkdir(parents=True, exist_ok=True)
        module.__file__ = str(folder / "dataset.py")
        try:
            init(self, vad_config, key_list, file_path, *args, **kwargs)
        finally:
            module.__file__ = own

    dataset.__init__ = isolated
    dataset.isolated = True


def _place(task: str, key: Iterable[bytes]) -> Path:
    digest = hashlib.sha256()
    for part in key:
        digest.update(part + b"\n")
    return cache_folder() / task / digest.hexdigest()[:16]


def _listing(root: Path) -> Iterator[bytes]:
    """Yield the folder and what is in it: a corpus that was made anew has other sizes or times."""
    yield str(root.resolve()).encode()
    for path in sorted(root.rglob("*.*")):
        facts = path.stat()
        yield f"{path.relative_to(root)} {facts.st_size} {facts.st_mtime_ns}".encode()
