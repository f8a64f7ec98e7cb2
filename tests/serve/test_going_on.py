"""Streams that go on over another connection: seen by bare WebSockets, whose breaks the test decides."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from live import Held, Live, collected, joined, live, speech
from streaming_wavlm.client import Client
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.protocol import CloseCode, Features, Hello, message

HELLO = Hello(encoding="float32", layers=(0, 1))


@contextlib.contextmanager
def dialled(server: Live, hello: Hello = HELLO) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
    """A connection, and what answered its hello."""
    with connect(stream_url(server.url), max_size=None, compression=None) as line:
        line.send(hello.text())
        yield line, json.loads(line.recv(timeout=20))


def heard(line: ClientConnection) -> Any:
    """The next event of a connection."""
    data = line.recv(timeout=20)
    return Features.unpack(data) if isinstance(data, bytes) else json.loads(data)


def until(line: ClientConnection, kind: str) -> list[Any]:
    """Events up to a message of a kind."""
    events = [heard(line)]
    while not (isinstance(events[-1], dict) and events[-1]["type"] == kind):
        events.append(heard(line))
    return events


def undisturbed(server: Live, wave: np.ndarray) -> np.ndarray:
    with Client(server.url, HELLO) as client:
        client.send(wave)
        client.flush()
        return collected(client)


def test_a_stream_whose_old_connection_still_counts_as_open_is_taken_over_bit_by_bit(server) -> None:
    wave = speech(1.5, 3)
    expected = undisturbed(server, wave)
    with dialled(server) as (old, ready):
        old.send(wave[:12_000].tobytes())
        events = [heard(old), heard(old)]
        got = events[-1].position + events[-1].frames
        with dialled(server, replace(HELLO, token=ready["token"], received=got)) as (new, again):
            assert again["token"] == ready["token"]
            assert again["samples"] <= 12_000
            new.send(wave[again["samples"] :].tobytes())
            new.send(message("flush"))
            events += until(new, "end")
            with contextlib.suppress(ConnectionClosed):
                old.send(bytes(4000))  # what the old connection still says is nobody's
            with pytest.raises(ConnectionClosed) as closed:
                until(old, "nothing")
            assert closed.value.rcvd.code == CloseCode.GONE
    assert np.array_equal(joined(events), expected)
    server.wait(lambda service: service.connections == 0)
    assert server.service.open_streams == 0


def test_a_stream_is_taken_over_while_its_flush_is_computed(server) -> None:
    wave = speech(3.0, 4)
    expected = undisturbed(server, wave)
    with dialled(server) as (old, ready):
        old.send(wave.tobytes())
        old.send(message("flush"))
        heard(old)
        with dialled(server, replace(HELLO, token=ready["token"])) as (new, again):
            if not again["stream"] and "ending" not in again:  # it was under way
                new.send(message("flush"))
            assert np.array_equal(joined(until(new, "end")), expected)


def test_a_server_that_has_the_flush_says_so_and_passes_over_another_of_the_same_stream(model) -> None:
    with live(model) as server:
        held = Held(server)
        wave = speech(0.5, 5)
        with dialled(server) as (old, ready):
            assert "ending" not in ready
            old.send(wave.tobytes())
            old.send(message("flush", stream=0))
            server.wait(lambda service: service._open[ready["token"]].ending)
            with dialled(server, replace(HELLO, token=ready["token"])) as (new, again):
                assert again["ending"] is True
                new.send(message("flush", stream=0))
                new.send(message("ping", time=1))
                held.go.set()
                first = until(new, "end")
                assert first[-1]["samples"] == len(wave)
                assert until(new, "pong") == [{"type": "pong", "time": 1}]  # and no end of an empty stream
                new.send(wave.tobytes())
                new.send(message("flush"))  # as clients say that do not count
                second = until(new, "end")
                assert second[-1]["stream"] == 1
                assert np.array_equal(joined(first), joined(second))


@pytest.mark.parametrize("stream", [1, -1, 2**32, 0.5, "0", True])
def test_a_flush_of_a_stream_that_never_began_is_refused(server, stream) -> None:
    with dialled(server) as (line, _):
        line.send(message("flush", stream=stream))
        (error,) = until(line, "error")
        assert error["code"] == CloseCode.BAD_MESSAGE
        assert "stream" in error["reason"]


def test_a_client_that_was_away_when_the_model_failed_hears_of_it(model) -> None:
    with live(model) as server:
        held = Held(server, fails=[0])
        with dialled(server) as (old, ready):
            old.send(speech(0.08).tobytes())
            assert held.began.wait(20)
            stream = server.service._open[ready["token"]]
            old.socket.close()
        server.wait(lambda service: service.open_streams == 0)
        held.go.set()
        server.wait(lambda _: stream.failure is not None)
        with dialled(server, replace(HELLO, token=ready["token"])) as (_, answer):
            assert answer["code"] == CloseCode.INTERNAL
            assert answer["reason"] == "the model failed on this stream: out of memory"


@pytest.mark.parametrize("stream", [1, 2, 7, 2**32 - 1])
def test_resets_that_were_lost_are_made_good_however_many(server, stream) -> None:
    wave = speech(0.5, 6)
    with dialled(server) as (old, ready):
        old.send(speech(0.3).tobytes())
        heard(old)
        with dialled(server, replace(HELLO, token=ready["token"], stream=stream)) as (new, again):
            assert (again["stream"], again["samples"], again["position"]) == (stream, 0, 0)
            new.send(wave.tobytes())
            new.send(message("flush", stream=stream))
            events = until(new, "end")
    assert events[-1]["stream"] == stream
    assert np.array_equal(joined(events), undisturbed(server, wave))


def test_the_number_of_a_stream_fits_the_header_of_features(server) -> None:
    with dialled(server) as (_, ready):
        hello = replace(HELLO, token=ready["token"], stream=2**32)
        with dialled(server, hello) as (_, answer):
            assert answer["code"] == CloseCode.BAD_MESSAGE
