"""The queue between a source and a model: what cannot wait is dropped and counted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from streaming_wavlm.errors import AudioError, InputError
from streaming_wavlm.sources import Capture


@dataclass
class Counting:
    """Hands out packets of ten samples, 0, 1, 2, …"""

    waits: bool
    packets: int = 20
    error: Exception | None = None
    name: str = "counting"
    sample_rate: int = 100
    endless: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def run(self, put, stopped) -> None:
        for number in range(self.packets):
            put(np.arange(10 * number, 10 * number + 10, dtype=np.float32), gap=number == 3)
        self.done.set()
        if self.error is not None:
            raise self.error


def taken(capture: Capture) -> np.ndarray:
    parts = [np.zeros(0, np.float32)]
    until = time.monotonic() + 30
    while not capture.ended:
        assert time.monotonic() < until
        packet = capture.get(0.1)
        if packet is not None:
            parts.append(packet.samples)
    return np.concatenate(parts)


def test_a_source_that_can_wait_loses_nothing() -> None:
    source = Counting(waits=True)
    with Capture(source, seconds=0.3) as capture:
        assert not source.done.wait(0.1)
        assert taken(capture).tolist() == list(range(200))
    assert capture.dropped_seconds == 0


def test_a_source_that_cannot_wait_is_never_held_up_and_its_drops_are_counted() -> None:
    source = Counting(waits=False)
    with Capture(source, seconds=0.3) as capture:
        assert source.done.wait(30)  # nobody has taken anything
        got = taken(capture)
    assert got.tolist() == list(range(30))
    assert capture.dropped_seconds == pytest.approx(1.7)
    assert capture.drops == 17 + 1  # and the gap that the source reported


def test_a_packet_longer_than_the_queue_gets_through() -> None:
    with Capture(Counting(waits=True, packets=3), seconds=0.01) as capture:
        assert len(taken(capture)) == 30


def test_what_was_taken_before_a_failure_is_had_before_it_is_told() -> None:
    with Capture(Counting(waits=True, packets=2, error=AudioError("gone"))) as capture:
        assert len(taken(capture)) == 20
    assert str(capture.error) == "gone"


def test_stopping_keeps_what_was_taken_and_takes_no_more() -> None:
    source = Counting(waits=True)
    with Capture(source, seconds=0.3) as capture:
        while capture._waiting < 30:
            time.sleep(0.001)
        capture.stop()
        assert source.done.wait(30)
        assert len(taken(capture)) == 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_queue_has_room(seconds) -> None:
    with pytest.raises(InputError, match="must have room"):
        Capture(Counting(waits=True), seconds)
