"""What computed a result."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("streaming-wavlm", "s3prl", "torch")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages whose code decides on a result."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def joined(several: Iterable[Mapping[str, str]]) -> str:
    """Return the versions of several results in words; where they differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for one in several:
        for name, value in one.items():
            found.setdefault(name, {})[value] = None
    return ", ".join(f"{name} {' and '.join(values)}" for name, values in found.items())
