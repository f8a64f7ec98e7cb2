"""How a server ended a connection decides whether a client comes back, and what it says if it cannot."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from both_clients import both
from scripted import fail, features, ready, said, scripted
from streaming_wavlm.errors import ServerError
from streaming_wavlm.protocol import Features, message

PACKET = np.zeros(320, np.float32)


def send_for_ever(client) -> None:
    for _ in itertools.count():
        client.send(PACKET)


def ends_with(code: int, reason: str, resumable: bool = False):
    def script(socket, _) -> None:
        socket.send(ready())
        fail(socket, code, reason, resumable)

    return script


def gone(socket, _) -> None:
    fail(socket, 4410, "the stream is no longer kept")


@both
def test_whoever_sends_is_told_why_the_server_ended_the_stream(kind) -> None:
    dialled = []
    with (
        scripted(ends_with(4400, "the audio holds NaN"), lambda *_: dialled.append(1)) as url,
        kind(url, encoding="float32") as client,
    ):
        with pytest.raises(ServerError, match=r"the server ended the stream: the audio holds NaN \(4400\)"):
            send_for_ever(client)
        with pytest.raises(ServerError, match="holds NaN"):  # and whoever receives
            client.receive()
        assert not dialled


@both
def test_a_stream_that_is_gone_says_how_its_connection_was_lost(kind) -> None:
    with (
        scripted(ends_with(1011, "the model failed"), gone) as url,
        kind(url, encoding="float32") as client,
        pytest.raises(ServerError, match=r"no longer kept.*had closed it: the model failed \(1011\)"),
    ):
        send_for_ever(client)


def idle(socket, _) -> None:
    socket.send(ready())
    assert said(socket)["type"] == "flush"
    socket.send(features(0))
    fail(socket, 4408, "nothing came for 60 s", resumable=True)


def goes_on(socket, hello) -> None:
    assert (hello["token"], hello["stream"], hello["received"]) == ("t", 0, 4)
    socket.send(ready(samples=320))
    assert said(socket)["type"] == "flush"
    socket.send(features(4))
    socket.send(message("end", stream=0, frames=8, samples=320, seconds=0.02))


@both
def test_a_pause_that_the_server_found_too_long_ends_the_connection_and_not_the_stream(kind) -> None:
    with scripted(idle, goes_on) as url, kind(url, encoding="float32") as client:
        client.send(PACKET)
        client.flush()
        *events, end = client.until_end()
    assert [event.position for event in events if isinstance(event, Features)] == [0, 4]
    assert end["type"] == "end"
