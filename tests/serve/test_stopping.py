"""A server that stops tells everybody, also those for whom there is no time left."""

from __future__ import annotations

import json
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from live import Live, live, speech
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.protocol import CloseCode, Hello

HELLO = Hello(encoding="float32", layers=(0, 1))
# A chunk waits for company that does not come.
LONELY = {"wait_ms": 60_000.0}


def dial(server: Live) -> ClientConnection:
    return connect(stream_url(server.url), compression=None).__enter__()


def welcomed(server: Live) -> ClientConnection:
    line = dial(server)
    line.send(HELLO.text())
    assert json.loads(line.recv(timeout=20))["type"] == "ready"
    return line


def last_words(line: ClientConnection) -> tuple[int, dict[str, Any]]:
    """The code of the close frame, and the last message before it."""
    last: Any = None
    try:
        while True:
            last = line.recv(timeout=20)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006, json.loads(last or "{}")


def require_goodbye(line: ClientConnection) -> None:
    code, error = last_words(line)
    assert (code, error["code"], error["resumable"]) == (CloseCode.GOING_AWAY, CloseCode.GOING_AWAY, False)
    assert error["reason"] == "the server is stopping"


def test_what_is_not_done_in_time_is_told_so(model) -> None:
    with live(model, drain_seconds=0.4, **LONELY) as server:
        busy, _ = welcomed(server), welcomed(server)
        busy.send(speech(0.08).tobytes())
        server.wait(lambda service: len(service._batcher._jobs) == 1)
        server.server.should_exit = True
        require_goodbye(busy)


def test_who_has_not_said_hello_does_not_hold_the_server_up(model) -> None:
    with live(model, drain_seconds=60.0, hello_seconds=60.0) as server:
        silent = dial(server)
        server.wait(lambda service: service.connections == 1)
        server.server.should_exit = True
        require_goodbye(silent)


def test_a_second_signal_ends_the_draining(model) -> None:
    with live(model, drain_seconds=60.0, **LONELY) as server:
        busy, _ = welcomed(server), welcomed(server)
        busy.send(speech(0.08).tobytes())
        server.wait(lambda service: len(service._batcher._jobs) == 1)
        server.server.should_exit = True
        server.wait(lambda service: service.draining)
        server.server.force_exit = True
        require_goodbye(busy)
