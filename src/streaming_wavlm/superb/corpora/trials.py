"""Pairs of recordings for speaker verification."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from ...errors import SuperbError

Trial = tuple[int, str, str]


def trials(recordings: Mapping[str, Sequence[str]], rng: random.Random, most: int) -> list[Trial]:
    """Return pairs of one speaker (1) and of two (0).

    All pairs, if they are no more than ``most``; otherwise as many targets as there are, at most half, and a
    random choice of the others.

    Args:
        recordings: of each speaker. One with a single recording is in pairs with others only.
        rng: makes the choice.
        most: pairs to return.

    Returns:
        ``(label, recording, recording)``, targets first.

    Raises:
        SuperbError: there is no pair of either kind.
    """
    targets = [pair for found in recordings.values() for pair in itertools.combinations(sorted(found), 2)]
    owners = sorted((path, speaker) for speaker, found in recordings.items() for path in found)
    others = [(a, b) for (a, one), (b, two) in itertools.combinations(owners, 2) if one != two]
    if not targets or not others:
        raise SuperbError(
            "trials need a speaker with two usable recordings, and two speakers: there are "
            f"{len(recordings)} speakers, with recordings: "
            + (", ".join(str(len(found)) for found in recordings.values()) or "none")
        )
    if len(targets) + len(others) > most:
        targets = sorted(rng.sample(targets, min(len(targets), most // 2)))
        others = sorted(rng.sample(others, min(len(others), most - len(targets))))
    return [(1, *pair) for pair in targets] + [(0, *pair) for pair in others]
