"""A client that sends as fast as it can takes no more than its share of the server."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from starlette.websockets import WebSocketState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from live import Live, collected, live, one_pass, speech
from raw import RawClient
from streaming_wavlm.client import Client
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.protocol import Hello, message
from streaming_wavlm.serve import Limits, build_service, sockets
from streaming_wavlm.serve.connection import Connection

HELLO = Hello(encoding="float32", layers=(0, 1))
GENEROUS = {"rate": 1e6, "burst_seconds": 1e6, "buffer_seconds": 1e6}


def raw(server: Live) -> RawClient:
    return RawClient(urlsplit(server.url).port or 0, HELLO)


class Endless:
    """A WebSocket that always has another message, without waiting, up to so many."""

    client_state = WebSocketState.CONNECTED

    def __init__(self, messages: int) -> None:
        self._left = messages
        self._said = False

    async def receive(self) -> dict[str, Any]:
        if not self._said:
            self._said = True
            return {"type": "websocket.receive", "text": HELLO.text()}
        self._left -= 1
        if self._left < 0:
            return {"type": "websocket.disconnect", "code": 1000}
        return {"type": "websocket.receive", "bytes": b""}

    async def send_text(self, text: str) -> None:
        pass

    send_bytes = send_text

    async def close(self, code: int, reason: str) -> None:
        pass


async def turns_of_others(service: Any) -> int:
    task, turns = asyncio.create_task(Connection(service, Endless(5000)).serve()), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


def test_others_have_their_turn_while_messages_of_one_client_come(model) -> None:
    service = build_service(model, (80,), Limits(stats_seconds=0, **GENEROUS))
    try:
        assert asyncio.run(turns_of_others(service)) > 15
    finally:
        service.shut_down()


def test_a_message_costs_something_however_little_audio_is_in_it(model) -> None:
    with live(model, rate=4.0, burst_seconds=1.0) as server, connect(stream_url(server.url)) as line:
        line.send(HELLO.text())
        json.loads(line.recv(timeout=20))
        began = time.monotonic()
        for _ in range(600):  # 3 s
            line.send(b"")
        line.send(message("ping", time=1))
        assert json.loads(line.recv(timeout=20))["type"] == "pong"
        assert time.monotonic() - began > 0.4  # 2 s beyond the burst, at 4 times real time


def test_what_one_read_holds_is_looked_at_piece_by_piece(model, monkeypatch) -> None:
    waiting: list[int] = []
    look = sockets.WebSocketsSansIOProtocol.data_received

    def counted(self: Any, data: bytes) -> None:
        look(self, data)
        waiting.append(self.queue.qsize())

    monkeypatch.setattr(sockets.WebSocketsSansIOProtocol, "data_received", counted)
    wave = speech(0.5)
    with live(model, **GENEROUS) as server, Client(server.url, HELLO) as neighbour:
        client = raw(server)
        neighbour.send(wave[:3000])
        client.socket.sendall(bytes([0x82, 0x80, 0, 0, 0, 0]) * 15_000)
        client.send(wave.tobytes())
        client.send(message("flush").encode(), opcode=1)
        neighbour.send(wave[3000:])
        neighbour.flush()
        np.testing.assert_allclose(collected(neighbour), one_pass(model, wave), atol=1e-5)
        server.wait(lambda service: service.metrics.audio._value.get() == 1.0, 30)
        assert max(waiting) < 500
        client.socket.close()


@pytest.mark.parametrize("fragment", [b"", b"\0"])
def test_a_message_of_very_many_fragments_is_refused(model, fragment) -> None:
    size = bytes([0x80 | len(fragment), 0, 0, 0, 0]) + fragment
    with live(model) as server, connect(stream_url(server.url), compression=None) as line:
        line.send(HELLO.text())
        line.recv(timeout=20)
        line.send([bytes(4)] * 400)  # as many as a library may make
        line.socket.sendall(b"\x02" + size + (b"\x00" + size) * 5000)
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=20)
        assert closed.value.rcvd.code == 1009
        assert closed.value.rcvd.reason == "a message has at most 500 fragments"
        server.wait(lambda service: service.connections == 0)
