"""The latency that a server tells: from the moment the audio of a chunk was complete."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from live import Held, live, speech
from streaming_wavlm.client import Client
from streaming_wavlm.protocol import Features, Hello
from streaming_wavlm.serve import stream as module
from streaming_wavlm.serve.stream import LiveStream

HELLO = Hello(encoding="float32", layers=(0, 1))


def test_a_chunk_is_complete_when_the_packet_came_that_completed_it(model, monkeypatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    stream = LiveStream(HELLO, model.with_chunk(80), 2**20)
    # Chunks of 1280 samples: the first is complete at 101 s, two at 103 s, and the flush ends the rest.
    for now, samples in ((100.0, 1000), (101.0, 1000), (102.0, 500), (103.0, 2000)):
        clock.now = now
        stream.push(np.zeros(samples, np.float32).tobytes())
    clock.now = 104.0
    stream.flush()
    clock.now = 200.0
    told = []
    for _ in range(4):
        job = stream.job(lambda *_: None)
        told.append(job.complete)
        stream._out = None
    assert told == [101.0, 103.0, 103.0, 104.0]


def test_what_a_chunk_waits_for_the_chunk_before_counts(model) -> None:
    with live(model) as server, Client(server.url, HELLO) as client:
        held = Held(server)
        client.send(speech(0.24))
        assert held.began.wait(20)
        time.sleep(0.3)
        held.go.set()
        client.flush()
        events = [event for event in client.until_end() if isinstance(event, Features)]
        assert [event.compute_us > 300_000 for event in events] == [True] * 3
        assert server.service.metrics.latency._sum.get() > 0.9
