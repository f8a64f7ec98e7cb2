"""Our upstreams on ``s3prl.hub``, which is a plain module: an upstream is one of its attributes."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from types import ModuleType

from ..errors import MissingDependencyError, SuperbError
from ..presets import UPSTREAMS

logger = logging.getLogger(__name__)
HUB = "s3prl.hub"


def register() -> None:
    """Make S3PRL importable and put our upstreams on its hub; does nothing the second time.

    Raises:
        MissingDependencyError: S3PRL or torchaudio is not installed.
        SuperbError: the hub has one of our names from somebody else; it stays theirs, the others are ours.
    """
    from . import compat

    compat.require("s3prl", "it runs the SUPERB tasks")
    compat.apply()
    try:
        hub = importlib.import_module(HUB)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"S3PRL does not load: {error}; {compat.EXTRA}") from error
    register_on(hub)


def register_on(hub: ModuleType) -> None:
    """Put our upstreams on a hub that is loaded.

    Args:
        hub: the module ``s3prl.hub``.

    Raises:
        SuperbError: it has one of our names from somebody else.
    """
    from . import factories

    taken = []
    for name in UPSTREAMS:
        present, ours = getattr(hub, name, None), getattr(factories, name)
        if present is None:
            setattr(hub, name, ours)
        elif getattr(present, "__module__", None) != ours.__module__:
            taken.append(f"{name} (from {getattr(present, '__module__', type(present).__name__)})")
    if taken:
        raise SuperbError(
            f"{hub.__name__} already has {', '.join(taken)}, which is not ours and stays as it is; "
            "use another of our names, or remove what put it there"
        )


def register_if_loaded() -> None:
    """Put our upstreams on S3PRL's hub if it is loaded; a name that is taken is logged and left alone."""
    hub = sys.modules.get(HUB)
    # While it is still loading, its own star imports come after us: the import hook waits for the end.
    if hub is None or getattr(getattr(hub, "__spec__", None), "_initializing", False):
        return
    try:
        register_on(hub)
    except SuperbError as error:
        logger.warning("%s", error)
