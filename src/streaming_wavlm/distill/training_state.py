"""What a checkpoint of a run holds, and how a run takes it up again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .errors import ResumeError
from .ledger import Ledger
from .trainee import Trainee
from .workshop import Workshop

logger = logging.getLogger(__name__)


def captured(fabric: Any, shop: Workshop, trainee: Trainee, ledger: Ledger) -> dict[str, Any]:
    """Return everything that the next step depends on and that the recipe and the step do not decide.

    All processes call it together, for each may hold but a part.
    """
    return {
        **trainee.state(),
        "scaler": fabric.strategy.precision.state_dict(),
        "ledger": ledger.state(),
        "processes": fabric.world_size,
        "data": shop.corpus.fingerprint(),
    }


def restored(state: Mapping[str, Any], fabric: Any, shop: Workshop, trainee: Trainee) -> Ledger:
    """Take up what :func:`captured` gave.

    Args:
        state: of a checkpoint.
        fabric: processes and precision.
        shop: what the run works with.
        trainee: gets its weights and its optimiser's memory.

    Returns:
        The ledger.

    Raises:
        ResumeError: the data, the student or the number of steps is another.
    """
    ledger = Ledger.restored(state["ledger"])
    folder, steps = shop.recipe.out, shop.recipe.steps
    if ledger.step > steps:
        raise ResumeError(
            f"the run in {folder} has done {ledger.step} steps, steps is {steps}; raise it, or give "
            "another out"
        )
    if state["data"] != shop.corpus.fingerprint():
        raise ResumeError(
            f"the data of the run in {folder} has changed since its checkpoint of step {ledger.step}: "
            "recordings were added, removed, renamed or cut; bring it back, or give another out"
        )
    if state["processes"] != fabric.world_size:
        logger.warning(
            "this run went on %d processes and now on %d: it will see other batches than it would have",
            state["processes"],
            fabric.world_size,
        )
    try:
        trainee.load(state)
    except (RuntimeError, ValueError) as error:
        raise ResumeError(f"the checkpoint of step {ledger.step} is of another student: {error}") from error
    if state["scaler"]:
        fabric.strategy.precision.load_state_dict(state["scaler"])
    return ledger
