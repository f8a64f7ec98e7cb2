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

_PLACE = "converted_from"  # what a provenance says of where something lay, which may move


def captured(fabric: Any, shop: Workshop, trainee: Trainee, ledger: Ledger) -> dict[str, Any]:
    """Return everything that the next step depends on and that the recipe and the step do not decide.

    All processes call it together, for each may hold but a part.
    """
    return {
        **trainee.state(),
        "scaler": fabric.strategy.precision.state_dict(),
        "ledger": ledger.state(),
        "processes": fabric.world_size,
        "group": fabric.world_size * shop.recipe.accumulate,
        "data": shop.corpus.fingerprint(),
        "teachers": shop.teachers.fingerprints,
        "start": shop.student.provenance,
    }


def restored(state: Mapping[str, Any], fabric: Any, shop: Workshop, trainee: Trainee) -> Ledger:
    """Take up what :func:`captured` gave.

    Args:
        state: of a checkpoint.
        fabric: processes and precision.
        shop: what the run works with.
        trainee: gets its weights and its optimiser's memory; the student also the story of its start.

    Returns:
        The ledger.

    Raises:
        ResumeError: the data, a teacher, the student or the number of steps is another.
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
    _compare_teachers(state.get("teachers"), shop, ledger.step)
    group = fabric.world_size * shop.recipe.accumulate
    # Checkpoints of old versions were of runs that could not change accumulate.
    before = state.get("group", state["processes"] * shop.recipe.accumulate)
    if before != group:
        logger.warning(
            "a step of this run had %d batches (processes times accumulate) and now has %d: it will see "
            "other batches than it would have",
            before,
            group,
        )
    try:
        trainee.load(state)
    except (RuntimeError, ValueError) as error:
        raise ResumeError(f"the checkpoint of step {ledger.step} is of another student: {error}") from error
    _take_up_start(state.get("start"), shop)
    if state["scaler"]:
        fabric.strategy.precision.load_state_dict(state["scaler"])
    return ledger


def _compare_teachers(before: Mapping[str, Mapping[str, str]] | None, shop: Workshop, step: int) -> None:
    """See to it that the teachers are those that the run had; checkpoints of old versions do not tell."""
    for name, told in (before or {}).items():
        now = shop.teachers.fingerprints.get(name)
        if now is None or now == told:
            continue
        if now["dtype"] != told["dtype"]:
            logger.warning(
                "the teacher %r had weights in %s and now has them in %s: its targets differ a little, and "
                "nothing tells whether it is still the same",
                name, told["dtype"], now["dtype"],
            )  # fmt: skip
            continue
        raise ResumeError(
            f"the teacher {name!r} of the run in {shop.recipe.out} is another than at its checkpoint of step "
            f"{step}: its weights or settings have changed; bring the former one back, or begin another run "
            "from this one with student.init run, in another out"
        )


def _take_up_start(before: Mapping[str, Any] | None, shop: Workshop) -> None:
    """Give the student the story of the start it had; what lies at its source now may be something else."""
    now = shop.student.provenance
    if before is None or before == now:
        return
    if {**before, _PLACE: None} != {**now, _PLACE: None}:
        logger.warning(
            "student.source %s now holds another student than the run in %s began with; it goes on with what "
            "it has learnt, and tells of the start that it had",
            shop.recipe.student.source,
            shop.recipe.out,
        )
    shop.student.provenance = dict(before)
