"""Order, quartiles and ratios; nothing here is timed."""

from __future__ import annotations

import pytest

from streaming_wavlm.bench.timing import Spread, joined, ratios, rotated, take_turns


def test_every_round_begins_with_another() -> None:
    assert "".join(rotated("abc", 4)) == "abcbcacababc"


def test_turns_are_kept_by_round() -> None:
    log: list[str] = []

    def turn(name: str) -> list[float]:
        log.append(name)
        return [float(len(log))]

    found = take_turns({"a": lambda: turn("a"), "b": lambda: turn("b")}, 2)
    assert log == ["a", "b", "b", "a"]
    assert found == {"a": [[1.0], [4.0]], "b": [[2.0], [3.0]]}
    assert joined(found["a"]) == [1.0, 4.0]


def test_a_slow_round_leaves_its_ratio_alone() -> None:
    spread = ratios([[2.0, 2.0], [20.0, 20.0], [2.0]], [[1.0], [10.0, 10.0], [1.0]])
    assert (spread.median, spread.low, spread.high, spread.count) == (2.0, 2.0, 2.0, 3)


def test_quartiles() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (spread.low, spread.median, spread.high) == (2.0, 3.0, 4.0)
    assert Spread.of([0.0125]).rounded(1000) == pytest.approx(
        {"median": 12.5, "low": 12.5, "high": 12.5, "count": 1}
    )
