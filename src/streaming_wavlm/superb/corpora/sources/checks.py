"""Whether a folder is the corpus that it should be, and what its audio files are, by their headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ....audio import audio_info
from ....config import SAMPLE_RATE
from ....errors import AudioError, SuperbError
from ..workshop import MIN_SECONDS, Workshop

_SHOWN = 5


def require_parts(root: Path, corpus: str, parts: Mapping[str, str], origin: str) -> None:
    """Refuse a folder that lacks something.

    Args:
        root: the folder.
        corpus: its name.
        parts: what must be in it, and what that is.
        origin: where it can be had.

    Raises:
        SuperbError: the message names all that is missing.
    """
    missing = [f"{name} ({what})" for name, what in parts.items() if not (root / name).exists()]
    if missing:
        raise SuperbError(f"{root} is no complete {corpus}: missing are {', '.join(missing)}; {origin}")


def first_existing(candidates: Iterable[Path]) -> Path | None:
    """Return the first path that exists."""
    return next((path for path in candidates if path.exists()), None)


def lengths(paths: Iterable[Path], shop: Workshop, any_rate: bool = False) -> dict[Path, int]:
    """Return the samples of each audio file that can be used; the others are counted.

    Only headers are read: a file that is damaged further on is not noticed.

    Args:
        paths: of the files.
        shop: counts what is missing, unreadable or under 0.1 s.
        any_rate: whether S3PRL converts other rates than 16 kHz itself.

    Raises:
        SuperbError: files are at another rate, which S3PRL would take for 16 kHz or stop at.
    """
    ordered = list(paths)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_header, ordered))
    wrong = [
        (path, header[0])
        for path, header in zip(ordered, found, strict=True)
        if header and header[0] != SAMPLE_RATE
    ]
    if wrong and not any_rate:
        path, rate = wrong[0]
        raise SuperbError(
            f"{len(wrong)} of {len(ordered)} recordings are not at 16 kHz, such as {path} ({rate} Hz), and "
            "S3PRL does not convert them; resample the corpus, or describe it in a manifest.tsv, from which "
            "it is converted"
        )
    result = {}
    for path, header in zip(ordered, found, strict=True):
        if header is None:
            shop.skip("recording not there" if not path.exists() else "unreadable audio")
        elif header[1] < MIN_SECONDS * header[0]:
            shop.skip("too short")
        else:
            result[path] = header[1]
    return result


def listed(items: Iterable[object]) -> str:
    """Return the first few items as text, and how many more there are."""
    names = [str(item) for item in items]
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _header(path: Path) -> tuple[int, int] | None:
    try:
        info = audio_info(path)
    except AudioError:
        return None
    return info.sample_rate, info.samples
