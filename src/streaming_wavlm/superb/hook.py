"""An import hook that mends S3PRL's dependencies and adds our upstreams to its hub, as they are loaded.

``streaming-wavlm superb enable`` copies this file into an environment, where it runs at every start of
Python: so it imports nothing but ``sys``, and the rest of the package only once a watched module is imported.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing typing takes longer than all the rest.
    from typing import Any

VERSION = 2
WATCHED = (
    "torchaudio",
    "s3prl.hub",
    "s3prl.downstream.sv_voxceleb1.dataset",
    "s3prl.downstream.sv_voxceleb1.expert",
    "s3prl.downstream.speech_commands.expert",
)


class Finder:
    """Finds the watched modules where Python would, and has their loading mended."""

    streaming_wavlm_version = VERSION

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a watched module, None for every other."""
        if name not in WATCHED:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = Loader(spec.loader)
                return spec
        return None


class Loader:
    """Another loader, whose modules are mended while they load."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def create_module(self, spec: Any) -> Any:
        """Leave it to the other loader."""
        return self.inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Run the module's code the way its repair says."""
        module.__spec__.loader = module.__loader__ = self.inner
        repair = _repair(module.__name__)
        if repair is None:
            self.inner.exec_module(module)
        else:
            repair(module, lambda: self.inner.exec_module(module))


def _repair(name: str) -> Any:
    """Return how to load the module, None when the package that knows is gone or broken."""
    try:
        from streaming_wavlm.superb import compat
    except Exception as error:  # noqa: BLE001 - no reason to break the import of another package
        import warnings

        warnings.warn(
            f"streaming-wavlm's import hook leaves {name} as it is: the package does not load ({error}); "
            f"to remove the hook, delete {__file__} and the streaming_wavlm_superb.pth beside it",
            stacklevel=2,
        )
        return None
    return compat.REPAIRS.get(name)


def install() -> None:
    """Put the hook first among Python's finders, once; it takes the place of an older one."""
    there = [finder for finder in sys.meta_path if hasattr(finder, "streaming_wavlm_version")]
    if any(finder.streaming_wavlm_version >= VERSION for finder in there):
        return
    for finder in there:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, Finder())
