"""The silence effect against a sample-by-sample account of what SoX does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.silence import Gate, parse_gates, remove_silence

RATE = 1000


def one_by_one(wave: np.ndarray, start: Gate, stop: Gate | None) -> np.ndarray:
    """The same effect as a machine that sees one sample at a time."""
    window = RATE // 50
    recent: list[float] = []
    kept: list[float] = []
    held: list[float] = []
    found, copying = 0, start.periods == 0
    for sample in wave:
        recent = [*recent, sample**2][-window:]
        level = (sum(recent) / window) ** 0.5
        if not copying:
            held = [*held, sample] if level > start.threshold else []
            if len(held) == start.samples:
                found += 1
                if found == start.periods:
                    kept += held
                    copying, found = True, 0
                held = []
        elif stop is None or level > stop.threshold:
            kept += [*held, sample]
            held = []
        else:
            held.append(sample)
            if len(held) == stop.samples:
                found += 1
                if found < abs(stop.periods):
                    kept += held
                elif stop.periods > 0:
                    return np.array(kept)
                else:
                    found, copying, recent = 0, start.periods == 0, []
                held = []
    return np.array([*kept, *(held if copying else [])])


@given(
    levels=st.lists(st.tuples(st.sampled_from([0.0, 0.0005, 0.002, 0.3]), st.integers(1, 60)), max_size=8),
    start=st.builds(Gate, st.integers(0, 2), st.integers(1, 30), st.sampled_from([0.001, 0.1])),
    stop=st.none()
    | st.builds(Gate, st.sampled_from([-2, -1, 1, 2]), st.integers(1, 30), st.sampled_from([0.001, 0.1])),
    seed=st.integers(0, 5),
)
def test_runs_of_silence_go_as_one_sample_at_a_time_would_have_it(levels, start, stop, seed) -> None:
    rng = np.random.default_rng(seed)
    pieces = [level * rng.uniform(0.5, 1, length) for level, length in levels]
    wave = np.concatenate([np.zeros(0), *pieces])
    np.testing.assert_array_equal(remove_silence(wave, RATE, start, stop), one_by_one(wave, start, stop))


def test_the_effect_of_the_speaker_verification_task() -> None:
    start, stop = parse_gates(["1", "0.1", "0.1%", "-1", "0.1", "0.1%"], 16000)
    assert (start, stop) == (Gate(1, 1600, 0.001), Gate(-1, 1600, 0.001))
    tone = 0.5 * np.sin(np.arange(8000))
    silence = np.zeros(4800)
    kept = remove_silence(np.concatenate([silence, tone, silence, tone, silence]), 16000, start, stop)
    # Each piece of sound keeps the end of the 20 ms over which its level is taken.
    assert len(kept) == pytest.approx(2 * len(tone), abs=2 * 320)


def test_what_is_silent_throughout_is_empty() -> None:
    gates = parse_gates(["1", "0.1", "0.1%"], 16000)
    assert len(remove_silence(np.zeros(16000), 16000, *gates)) == 0
    assert len(remove_silence(np.zeros(0), 16000, *gates)) == 0


def test_thresholds_may_be_in_decibels() -> None:
    start, stop = parse_gates(["1", "0.02", "-40d"], 16000)
    assert start.threshold == pytest.approx(0.01)
    assert stop is None


@pytest.mark.parametrize(
    "arguments", [[], ["1"], ["1", "x", "1%"], ["1", "0.1", "1%", "-1"], ["1", "1", "1"] * 3]
)
def test_arguments_that_sox_would_not_take_are_errors(arguments) -> None:
    with pytest.raises(SuperbError, match="PERIODS SECONDS THRESHOLD"):
        parse_gates(arguments, 16000)
