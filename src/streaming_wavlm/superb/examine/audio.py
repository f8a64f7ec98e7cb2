"""Whether recordings are there and can be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from ...config import SAMPLE_RATE
from ...errors import SuperbError

# Headers of so many files are read, evenly spread over the corpus: all of a small one, a sample of VoxCeleb.
_LOOKED_INTO = 2000


def require_audio(
    paths: Sequence[Path], what: str, *, rate: int | None = SAMPLE_RATE, channels: int = 1
) -> None:
    """Require that recordings exist, are audio, have the right rate and are not empty.

    Args:
        paths: of the recordings.
        what: they are, such as ``train``.
        rate: in Hz; None for any.
        channels: they may have at most.

    Raises:
        SuperbError: they do not; the message counts them and names the first.
    """
    if not paths:
        raise SuperbError(f"the corpus has no recordings for {what}")
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise SuperbError(
            f"{len(gone)} of {len(paths)} recordings for {what} are not there, the first is {gone[0]}"
        )
    step = -(-len(paths) // _LOOKED_INTO)
    bad = [(path, problem) for path in paths[::step] if (problem := _problem(path, rate, channels))]
    if bad:
        path, problem = bad[0]
        raise SuperbError(
            f"{len(bad)} of {len(paths[::step])} recordings for {what} cannot be used, the first is {path}: "
            f"{problem}; take them out or mend them, or make a corpus that leaves them out with "
            "`streaming-wavlm superb prepare TASK --from MANIFEST`"
        )


def frames(path: Path) -> int:
    """Return the samples of a recording.

    Raises:
        SuperbError: it is not audio.
    """
    try:
        return int(soundfile.info(str(path)).frames)
    except (RuntimeError, OSError) as error:
        raise SuperbError(f"{path} is not audio, or damaged: {error}") from error


def read_lines(path: Path, what: str) -> list[str]:
    """Return the lines of a text file that are not blank.

    Raises:
        SuperbError: it cannot be read, or there are none.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SuperbError(f"{what} cannot be read: {error}") from error
    if not lines:
        raise SuperbError(f"{what}, {path}, is empty")
    return lines


def _problem(path: Path, rate: int | None, channels: int) -> str | None:
    try:
        found = soundfile.info(str(path))
    except (RuntimeError, OSError) as error:
        return f"it is not audio, or damaged ({error})"
    if rate is not None and found.samplerate != rate:
        return f"it has {found.samplerate} Hz and the task takes {rate} Hz"
    if found.channels > channels:
        return f"it has {found.channels} channels and the task takes {channels}"
    return None if found.frames else "it has no samples"
