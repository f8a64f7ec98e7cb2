"""Which audio files a list of files and folders means, and how their features are to be called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from .audio import audio_suffixes


@dataclass(frozen=True)
class Recording:
    """An audio file and the name of its features.

    Attributes:
        path: the audio file, absolute.
        name: where its features go, relative to the output folder, without the suffix of their format.
    """

    path: Path
    name: PurePath


@dataclass(frozen=True)
class Found:
    """What a list of files and folders holds.

    Attributes:
        recordings: the audio files, in the order given, each once.
        without_audio: the folders that hold none.
    """

    recordings: tuple[Recording, ...]
    without_audio: tuple[Path, ...]


def find_recordings(sources: Iterable[str | os.PathLike[str]]) -> Found:
    """Return the audio files that are meant, with names that keep the folder structure and never collide.

    A file is taken whatever its suffix; in a folder, at any depth, the files with a suffix of audio are,
    hidden ones excepted. Names are relative to the deepest folder that holds everything; files that differ in
    nothing but their suffix keep it.

    Args:
        sources: files and folders.
    """
    # Not resolve(): a link keeps the name that the user gave it.
    roots = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100
    paths: dict[Path, None] = {}
    without_audio = []
    for root in roots:
        found = list(_walk(root)) if root.is_dir() else [root]
        if not found:
            without_audio.append(root)
        paths.update(dict.fromkeys(found))
    base = _common_folder([root if root.is_dir() else root.parent for root in roots])
    names = _unique_names([path.relative_to(base) if base else _below_anchor(path) for path in paths])
    recordings = tuple(Recording(path, name) for path, name in zip(paths, names, strict=True))
    return Found(recordings, tuple(without_audio))


def _walk(root: Path) -> Iterator[Path]:
    suffixes = audio_suffixes()
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix.lower() in suffixes and not name.startswith("."):
                yield path


def _common_folder(folders: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:  # on different drives
        return None


def _below_anchor(path: Path) -> PurePath:
    return PurePath(path.drive.replace(":", ""), *path.parts[1:])


def _unique_names(paths: Sequence[PurePath]) -> list[PurePath]:
    stems = [path.with_suffix("") for path in paths]
    count = Counter(stems)
    names = [path if count[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    # "a.wav" beside "a.flac" and "a.wav.mp3": only whole names are sure to differ.
    return names if len(set(names)) == len(names) else list(paths)
