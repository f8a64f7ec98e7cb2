"""The equal error rate of verification trials."""

from __future__ import annotations

import numpy as np

from .score import Units


def equal_error_rate(units: Units) -> float:
    """Return the error rate at the threshold where misses and false alarms are equally frequent.

    Args:
        units: ``[trials, 2]``: 1 for the same speaker, else 0; how alike they sound.

    Returns:
        Percent, on the straight line between the two thresholds next to it; NaN without both kinds of trial.
    """
    target = units[:, 0] > 0.5
    if target.all() or not target.any():
        return float("nan")
    order = np.argsort(-units[:, 1], kind="stable")
    hits, scores = target[order], units[order, 1]
    # A threshold can only be put between two different scores.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    alarm = np.concatenate([[0.0], np.cumsum(~hits)[ends] / (~hits).sum()])
    miss = np.concatenate([[1.0], 1 - np.cumsum(hits)[ends] / hits.sum()])
    gap = alarm - miss
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(100 * (alarm[before] + share * (alarm[after] - alarm[before])))
