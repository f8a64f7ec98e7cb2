"""Processes that end with the one that started them, however that one ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

# Holds the number of the process to end with.
PARENT_VARIABLE = "STREAMING_WAVLM_PARENT"
_LOOK_SECONDS = 1.0


def end_with_parent(environment: Mapping[str, str] = os.environ) -> None:
    """End this process soon after its parent, where the environment names one.

    A report that is killed has no chance to end its trainings, and started again it would train into the
    same folders beside them.

    Args:
        environment: where ``STREAMING_WAVLM_PARENT`` is looked for.
    """
    parent = environment.get(PARENT_VARIABLE, "")
    if parent.isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), name="end with parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:  # an orphan's parent is another
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
