"""SoX's ``silence`` effect: cut what is quiet from the start, the middle and the end of a recording.

The level of a sample is the root mean square of the 20 ms that end with it. Sound begins once the level has
been above the start threshold for the start duration, and ends once it has been at or below the stop
threshold for the stop duration. With a negative number of stop periods the search then begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SuperbError

Wave = NDArray[np.float64]
_WINDOWS_PER_SECOND = 50


@dataclass(frozen=True)
class Gate:
    """When sound starts or stops: how many times, for how many samples, beyond which share of full scale."""

    periods: int
    samples: int
    threshold: float


def parse_gates(arguments: Sequence[str], rate: int) -> tuple[Gate, Gate | None]:
    """Read the arguments of the effect, such as ``1 0.1 0.1% -1 0.1 0.1%``.

    Args:
        arguments: periods, seconds and threshold, of the start and, if given, of the stop.
        rate: samples per second.

    Raises:
        SuperbError: the arguments are not in the form above.
    """
    try:
        gates = [_gate(*arguments[i : i + 3], rate=rate) for i in range(0, len(arguments), 3)]
        start, *rest = gates
        (stop,) = rest or (None,)
    except (TypeError, ValueError) as error:
        raise SuperbError(
            "the silence effect takes PERIODS SECONDS THRESHOLD of the start and perhaps of the stop, "
            f"such as 1 0.1 0.1% -1 0.1 0.1%; got {' '.join(map(str, arguments))!r}"
        ) from error
    return start, stop


def _gate(periods: str, seconds: str, threshold: str, *, rate: int) -> Gate:
    if threshold.endswith("d"):
        level = float(10 ** (float(threshold[:-1]) / 20))
    else:
        level = float(threshold.removesuffix("%")) / 100
    return Gate(int(periods), max(1, int(float(seconds) * rate)), level)


def remove_silence(wave: Wave, rate: int, start: Gate, stop: Gate | None) -> Wave:
    """Return the parts of a mono recording that are not silent, joined.

    Args:
        wave: ``[samples]`` in [-1, 1].
        rate: samples per second.
        start: when sound begins; with 0 periods it begins at once.
        stop: when sound ends; never when None.
    """
    energy = np.concatenate([[0.0], np.cumsum(wave**2)])
    kept: list[Wave] = []
    origin = 0
    while True:
        level = _levels(energy, origin, max(1, rate // _WINDOWS_PER_SECOND))
        begin, position = _find_sound(level, start)
        if begin is None:
            break
        end, resume = (len(level), None) if stop is None else _find_end(level, position, stop)
        kept.append(wave[origin + begin : origin + end])
        if resume is None or stop is None or stop.periods >= 0:
            break
        origin += resume
    return np.concatenate([wave[:0], *kept])


def _levels(energy: Wave, origin: int, window: int) -> Wave:
    """Root mean square of the window that ends at each sample from ``origin``, silence before ``origin``."""
    ends = np.arange(origin + 1, len(energy))
    begins = np.maximum(ends - window, origin)
    result: Wave = np.sqrt(np.maximum(energy[ends] - energy[begins], 0) / window)
    return result


def _find_sound(level: Wave, gate: Gate) -> tuple[int | None, int]:
    """Return where sound begins, None if it never does, and the first sample not looked at yet."""
    if gate.periods == 0:
        return 0, 0
    position, loud = 0, level > gate.threshold
    for _ in range(gate.periods):
        end = _end_of_run(loud, position, gate.samples)
        if end is None:
            return None, len(level)
        position = end
    return position - gate.samples, position


def _find_end(level: Wave, position: int, gate: Gate) -> tuple[int, int | None]:
    """Return where sound ends, and where to look for more of it, None if the recording is over."""
    quiet = level <= gate.threshold
    for _ in range(max(1, abs(gate.periods))):
        end = _end_of_run(quiet, position, gate.samples)
        if end is None:
            return len(level), None
        position = end
    return position - gate.samples, position


def _end_of_run(mask: NDArray[np.bool_], begin: int, length: int) -> int | None:
    """Return the end of the first ``length`` true values in a row from ``begin``, None if there are none."""
    count = np.concatenate([[0], np.cumsum(mask[begin:])])
    if len(count) <= length:
        return None
    full = np.flatnonzero(count[length:] - count[:-length] == length)
    return begin + int(full[0]) + length if len(full) else None
