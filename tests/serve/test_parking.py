"""Streams without a connection: which are kept, for how long, and which go first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from live import Live, collected, live, one_pass, speech
from streaming_wavlm.client import Client
from streaming_wavlm.protocol import Hello

HELLO = Hello(encoding="float32", layers=(0, 1))


@contextlib.contextmanager
def lost(server: Live, wave: np.ndarray) -> Iterator[Client]:
    """A client whose connection broke after some audio, and that has not noticed yet."""
    with contextlib.closing(Client(server.url, HELLO, retries=1)) as client:
        if len(wave):
            client.send(wave)
            client.receive(timeout=20)
        client._socket.socket.close()
        server.wait(lambda service: service.open_streams == 0)
        yield client


def test_a_quiet_server_forgets_streams_in_time(model) -> None:
    with live(model, parked_seconds=0.3) as server, lost(server, speech(0.5)):
        token = next(iter(server.service._parked._places))
        server.wait(lambda service: len(service._parked) == 0)  # nobody asks for anything
        assert server.service._parked.take(token) is None
        assert server.service._parked.nbytes() == 0
        text = server.service.metrics.text().decode()
        assert "streaming_wavlm_parked_streams 0.0" in text
        assert "streaming_wavlm_dropped_streams_total 1.0" in text


def test_a_stream_that_comes_back_is_not_forgotten_later(model) -> None:
    wave = speech(0.5)
    with live(model) as server, lost(server, wave[:4000]) as client:
        (place,) = server.service._parked._places.values()
        client.send(wave[4000:])
        client.flush()
        np.testing.assert_allclose(collected(client)[:, -8:], one_pass(model, wave)[:, -8:], atol=1e-5)
        assert place.timer.cancelled()


def test_connections_that_sent_no_audio_drive_nobody_out(model) -> None:
    wave = speech(0.5)
    with live(model, parked=3) as server, lost(server, wave[:4000]) as client:
        for _ in range(6):
            with lost(server, wave[:0]):
                pass
            assert len(server.service._parked) <= 3
        client.send(wave[4000:])
        client.flush()
        np.testing.assert_allclose(collected(client)[:, -8:], one_pass(model, wave)[:, -8:], atol=1e-5)


def test_a_client_may_come_back_before_its_first_audio(model) -> None:
    wave = speech(0.5)
    with live(model) as server, lost(server, wave[:0]) as client:
        client.send(wave)
        client.flush()
        np.testing.assert_allclose(collected(client), one_pass(model, wave), atol=1e-5)
