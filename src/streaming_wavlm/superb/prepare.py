"""The embedded speech for speaker identification; :mod:`.corpora` has the other tasks and sources."""

from __future__ import annotations

import os

from .corpora import Prepared, prepare

__all__ = ["Prepared", "prepare_voxceleb1"]


def prepare_voxceleb1(out: str | os.PathLike[str], *, seed: int = 0) -> Prepared:
    """Lay out the embedded speech as a VoxCeleb1 of four speakers, one for each voice.

    Args:
        out: the folder to make; one that an earlier call made with the same seed is left as it is.
        seed: of the choice of utterances and splits.

    Returns:
        What is there now.

    Raises:
        SuperbError: the folder holds something else.
        AudioError: the package is installed without its speech.
    """
    return prepare("voxceleb1", "embedded", out, seed=seed)
