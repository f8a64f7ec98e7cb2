"""Opt an environment in and out: with no import of ours, ``s3prl.hub`` then has our upstreams."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ..errors import SuperbError
from ..files import replacing
from . import hook

_MODULE = "_streaming_wavlm_hook"
_PTH = "streaming_wavlm_superb.pth"
# One line, as a .pth file wants it. Python must start whatever has become of the hook.
_LINE = f"import sys; exec('try:\\n import {_MODULE}\\n {_MODULE}.install()\\nexcept Exception:\\n pass')\n"
_MEASURE = """
import sys, time
sys.path.insert(0, {folder!r})
begin = time.perf_counter()
{line}
print(time.perf_counter() - begin)
"""
_RUNS = 5


@dataclass(frozen=True)
class Enabled:
    """An environment that was opted in.

    Attributes:
        files: what was written.
        milliseconds: what that adds to every start of Python there, measured now.
    """

    files: tuple[Path, ...]
    milliseconds: float


def enable(folder: str | os.PathLike[str] | None = None) -> Enabled:
    """Make this environment's Python load the import hook at its start; again, it brings the hook up to date.

    The hook does nothing until torchaudio or S3PRL is imported. Then torchaudio gains what S3PRL needs of it
    and it lacks, and ``s3prl.hub`` our upstreams.

    Args:
        folder: the environment's ``site-packages``; that of this Python when None.

    Raises:
        SuperbError: the folder does not exist or cannot be written to.
    """
    target = _site(folder)
    source = Path(hook.__file__).read_text(encoding="utf-8")
    try:
        # The hook first: a line that finds no module would be as good as none.
        files = (_write(target / f"{_MODULE}.py", source), _write(target / _PTH, _LINE))
        py_compile.compile(str(files[0]))
    except OSError as error:
        raise SuperbError(
            f"cannot write to {target} ({error}); use an environment of your own (python -m venv), "
            "or give a site-packages folder with --site-dir"
        ) from error
    return Enabled(files, min(_measure(target) for _ in range(_RUNS)))


def disable(folder: str | os.PathLike[str] | None = None) -> tuple[Path, ...]:
    """Undo :func:`enable`.

    Args:
        folder: the environment's ``site-packages``; that of this Python when None.

    Returns:
        The files that were removed; none if the environment was not opted in.

    Raises:
        SuperbError: the folder does not exist, or its files cannot be removed.
    """
    target = _site(folder)
    # The line first: it must not look for a module that is gone.
    files = [target / _PTH, target / f"{_MODULE}.py", *(target / "__pycache__").glob(f"{_MODULE}.*.pyc")]
    present = tuple(file for file in files if file.is_file())
    try:
        for file in present:
            file.unlink()
    except OSError as error:
        raise SuperbError(f"cannot remove {error.filename}: {error}") from error
    return present


def _site(folder: str | os.PathLike[str] | None) -> Path:
    target = Path(folder) if folder is not None else Path(sysconfig.get_paths()["purelib"])
    if not target.is_dir():
        raise SuperbError(f"{target} is no folder; give the site-packages of an environment")
    return target.resolve()


def _write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
    return path


def _measure(folder: Path) -> float:
    """Return the milliseconds that the line takes in a fresh Python."""
    program = _MEASURE.format(folder=str(folder), line=_LINE)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    return 1000 * float(done.stdout)
