"""Two libraries that S3PRL imports and hardly uses, for when they are not installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch.utils.data import DistributedSampler, Sampler

from ..errors import MissingDependencyError


class DistributedSamplerWrapper(DistributedSampler[Any]):
    """Shares what a sampler draws among the processes, as catalyst's class of this name does.

    Args:
        sampler: draws anew at each iteration, in every process for itself.
        options: of ``DistributedSampler``; nothing is shuffled a second time unless they say so.
    """

    def __init__(self, sampler: Sampler[Any], **options: Any) -> None:
        super().__init__(range(len(sampler)), **{"shuffle": False, **options})  # type: ignore[arg-type]
        self.sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        """Yield this process's share of one drawing."""
        drawn = list(self.sampler)
        return iter([drawn[i] for i in super().__iter__()])


class Transformer:
    """Stands for sox's; ``sv_voxceleb1`` imports it and does not use it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise MissingDependencyError("the Python package sox is not installed: pip install sox")


@contextmanager
def standing_in(name: str, **contents: Any) -> Iterator[None]:
    """Have a module that is not installed imported with these contents, until the end of the block.

    Args:
        name: of the module, with its packages.
        contents: what it has.
    """
    parts = name.split(".")
    if parts[0] in sys.modules or importlib.util.find_spec(parts[0]) is not None:
        yield
        return
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for each in names:
        sys.modules[each] = ModuleType(each)
    sys.modules[name].__dict__.update(contents)
    try:
        yield
    finally:
        # Others who ask whether it is installed are told the truth.
        for each in names:
            del sys.modules[each]
