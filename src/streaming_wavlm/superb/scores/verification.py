"""The equal error rate of verification trials, and how sure it is."""

from __future__ import annotations

import numpy as np

from .score import Units

# The column of how often a trial counts.
_TIMES = 4


def equal_error_rate(units: Units) -> float:
    """Return the error rate at the threshold where misses and false alarms are equally frequent.

    Args:
        units: ``[trials, 2 or more]``: 1 for the same speaker, else 0; how alike they sound; and, if it is
            what :func:`other_speakers` returned, how often the trial counts.

    Returns:
        Percent, on the straight line between the two thresholds next to it; NaN without both kinds of trial.
    """
    target = units[:, 0] > 0.5
    times = units[:, _TIMES] if units.shape[1] > _TIMES else np.ones(len(units))
    hits, alarms = np.where(target, times, 0.0), np.where(target, 0.0, times)
    if not hits.any() or not alarms.any():
        return float("nan")
    order = np.argsort(-units[:, 1], kind="stable")
    scores = units[order, 1]
    # A threshold can only be put between two different scores.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    alarm = np.concatenate([[0.0], np.cumsum(alarms[order])[ends] / alarms.sum()])
    miss = np.concatenate([[1.0], 1 - np.cumsum(hits[order])[ends] / hits.sum()])
    gap = alarm - miss
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(100 * (alarm[before] + share * (alarm[after] - alarm[before])))


def with_speakers(units: Units) -> Units:
    """Put who speaks in the place of the recordings of each trial, as far as the trials tell.

    Two recordings are of one speaker if a trial says so, or a chain of them. A recording without such a trial
    counts as a speaker of its own.

    Args:
        units: ``[trials, 4]``: 1 for the same speaker, else 0; how alike they sound; the numbers of the two
            recordings.

    Returns:
        ``[trials, 4]``: the numbers of two speakers, from 0, instead of those of the recordings.
    """
    leader: dict[int, int] = {}

    def find(name: int) -> int:
        while (up := leader.setdefault(name, name)) != name:
            leader[name] = leader[up]
            name = up
        return name

    pairs = units[:, 2:4].astype(np.int64).tolist()
    for (first, second), same in zip(pairs, units[:, 0] > 0.5, strict=True):
        one, other = find(first), find(second)
        if same and one != other:
            leader[other] = one
    numbers: dict[int, int] = {}
    found = [[numbers.setdefault(find(name), len(numbers)) for name in pair] for pair in pairs]
    return np.concatenate([units[:, :2], np.array(found, dtype=np.float64).reshape(-1, 2)], axis=1)


def other_speakers(units: Units, generator: np.random.Generator) -> Units:
    """Return the trials of as many speakers, drawn with replacement, by how often each trial counts.

    Trials share recordings and speakers, so drawing trials would show a certainty that is not there: in a
    simulation of ten speakers in 4950 trials, such 95 % intervals held the truth in 46 of 100 cases, and
    these in 91.

    Args:
        units: ``[trials, 4]`` of :func:`with_speakers`.
        generator: of the draws.

    Returns:
        ``[trials, 5]``. A trial of two speakers counts as often as both were drawn, one of a single speaker
        as often as this one was.
    """
    first, second = units[:, 2].astype(np.int64), units[:, 3].astype(np.int64)
    speakers = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    times = generator.multinomial(speakers, np.full(speakers, 1 / speakers)) if speakers else np.empty(0)
    counts = np.where(first == second, times[first], times[first] * times[second])
    return np.concatenate([units, counts[:, None].astype(np.float64)], axis=1)
