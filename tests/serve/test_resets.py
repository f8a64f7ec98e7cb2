"""Streams that are dropped leave the model nothing to do, and the next stream nothing to suffer from."""

from __future__ import annotations

import numpy as np

from live import Held, joined, live, one_pass, speech
from streaming_wavlm.client import Client
from streaming_wavlm.protocol import Hello

HELLO = Hello(encoding="float32", layers=(0, 1))


def answered(client: Client) -> None:
    """Wait until the server has read everything so far."""
    client._socket.send('{"type": "ping", "time": 7}')
    while (event := client.receive(timeout=20)) is None or event.get("type") != "pong":
        pass


def test_chunks_of_dropped_streams_do_not_pile_up_in_front_of_the_model(model) -> None:
    with live(model) as server, Client(server.url, HELLO) as client:
        held = Held(server)
        client.send(speech(0.08))
        assert held.began.wait(20)
        for _ in range(50):
            client.reset()
            client.send(speech(0.08))
        answered(client)
        assert not server.service._batcher._jobs  # the step that runs is waited for
        held.go.set()
        wave = speech(0.4, 3)
        client.reset()
        client.send(wave)
        client.flush()
        np.testing.assert_allclose(joined(list(client.until_end())), one_pass(model, wave), atol=1e-5)
        assert held.steps < 10


def test_a_chunk_of_a_dropped_stream_that_has_not_begun_never_begins(model) -> None:
    with live(model) as server, Client(server.url, HELLO) as client, Client(server.url, HELLO) as other:
        held = Held(server)
        other.send(speech(0.08))
        assert held.began.wait(20)
        client.send(speech(0.08))
        server.wait(lambda service: len(service._batcher._jobs) == 1)
        client.reset()
        answered(client)
        assert not server.service._batcher._jobs
        held.go.set()
        wave = speech(0.4, 4)
        client.send(wave)
        client.flush()
        np.testing.assert_allclose(joined(list(client.until_end())), one_pass(model, wave), atol=1e-5)


def test_a_model_that_fails_on_a_dropped_stream_does_not_end_the_next(model) -> None:
    with live(model) as server, Client(server.url, HELLO, retries=0) as client:
        held = Held(server, fails=(0,))
        client.send(speech(0.08))
        assert held.began.wait(20)
        client.reset()
        answered(client)
        held.go.set()
        wave = speech(0.4, 5)
        client.send(wave)
        client.flush()
        np.testing.assert_allclose(joined(list(client.until_end())), one_pass(model, wave), atol=1e-5)
