"""Finding a checkpoint that is named: on this machine, or else on the Hugging Face hub."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streaming_wavlm.errors import CheckpointNotFoundError, MissingDependencyError

from .bundle import CONFIG_FILE, SUFFIXES, WEIGHTS_FILE

PUBLISHED_FILES = (CONFIG_FILE, WEIGHTS_FILE)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class HubOptions:
    """How to ask the hub, in the words of huggingface_hub.

    Attributes:
        revision: branch, tag or commit; the main branch when None.
        cache_dir: where downloads are kept; the hub's own default when None.
        token: an access token; True for the one logged in with, None to use it if there is one.
        local_files_only: use what was downloaded before, without asking the network.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False


def locate(
    source: str | os.PathLike[str],
    options: HubOptions | None = None,
    files: Sequence[str] = PUBLISHED_FILES,
) -> Path:
    """Return the path of a checkpoint; one that is not on this machine is fetched from the hub.

    Args:
        source: a path, or a hub id ``owner/name``.
        options: how to ask the hub.
        files: the files to fetch from the hub.

    Raises:
        CheckpointNotFoundError: it is nowhere to be had.
        MissingDependencyError: it can only be on the hub, and huggingface_hub is not installed.
    """
    if not isinstance(source, str | os.PathLike):
        raise CheckpointNotFoundError(
            f"a checkpoint is named by a path or a hub id 'owner/name', got {type(source).__name__}"
        )
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
        near = _near(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: ~name of somebody without a home
        reason = getattr(error, "strerror", None) or error
        raise CheckpointNotFoundError(f"{str(source)[:200]!r} is no usable path: {reason}") from error
    text = os.fspath(source)
    if isinstance(source, str) and is_hub_id(text):
        return download(text, options or HubOptions(), files)
    raise CheckpointNotFoundError(
        f"there is no file or folder {text!r}{near}; "
        "give the path of a .pt or .safetensors file, a folder, or a hub id 'owner/name'"
    )


def is_hub_id(text: str) -> bool:
    """Tell whether ``text`` has the form ``owner/name`` and is not plainly the name of a file."""
    return bool(_HUB_ID.fullmatch(text)) and not text.endswith((*SUFFIXES, ".yaml", ".json"))


def download(repo_id: str, options: HubOptions, files: Sequence[str] = PUBLISHED_FILES) -> Path:
    """Fetch files of a hub repository, or find them in the cache, and return their folder.

    Raises:
        CheckpointNotFoundError: the hub does not have it, or cannot be reached.
        MissingDependencyError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"there is no file or folder {repo_id!r}; to look for it on the Hugging Face hub, "
            'pip install "streaming-wavlm[hub]"'
        ) from error
    try:
        folder = snapshot_download(
            repo_id,
            revision=options.revision,
            cache_dir=None if options.cache_dir is None else Path(options.cache_dir),
            token=options.token,
            local_files_only=options.local_files_only,
            allow_patterns=list(files),
        )
    except hub_errors() as error:
        raise CheckpointNotFoundError(
            f"{repo_id!r} is no file or folder here, and the Hugging Face hub did not give it"
            f"{f' at revision {options.revision!r}' if options.revision else ''} "
            f"({type(error).__name__}: {first_line(error)}). Check the spelling, the network and your "
            "access; a checkpoint that was copied here can be given by its path"
        ) from error
    return Path(folder)


def hub_errors() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises when the network or the hub says no."""
    from huggingface_hub import errors

    # Not all of them share a root, and those of its HTTP client depend on its version.
    own = (value for value in vars(errors).values() if isinstance(value, type))
    return (OSError, ValueError, *(value for value in own if issubclass(value, Exception)))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]


def _near(path: Path) -> str:
    """Return a hint at a sibling with a similar name, or at the folder that is missing."""
    if not path.parent.is_dir():
        return f" (nor the folder {str(path.parent)!r})"
    close = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
