"""How long the rest will take, from how long the same took elsewhere."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from .plan import Group
from .records import JobRecord


def seconds_left(waiting: Sequence[Group], known: Iterable[JobRecord]) -> float | None:
    """Return an estimate of the time that jobs take, each as long as its task took on other upstreams.

    Args:
        waiting: the cell of each job that is still to be run.
        known: the jobs that ran.

    Returns:
        Seconds; a task that has not run yet counts as the mean of those that did. None before the first.
    """
    done = [record for record in known if record.done and record.seconds > 0]
    if not done:
        return None
    same: dict[tuple[str, ...], list[float]] = {}
    for record in done:
        for key in (
            (record.task,),
            (record.task, record.heads),
            (record.task, record.heads, record.upstream),
        ):
            same.setdefault(key, []).append(record.seconds)
    tasks = {record.task for record in done}
    usual = statistics.fmean(statistics.median(same[(task,)]) for task in tasks)
    total = 0.0
    for group in waiting:
        keys = ((group.task, group.heads, group.upstream), (group.task, group.heads), (group.task,))
        total += next((statistics.median(same[key]) for key in keys if key in same), usual)
    return total


def words(seconds: float | None) -> str:
    """Return a duration in words."""
    if seconds is None:
        return "time left not known yet"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"about {minutes} min left"
    hours, minutes = divmod(minutes, 60)
    return f"about {hours} h {minutes:02d} min left"
