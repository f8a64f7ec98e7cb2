"""Clients that never read: the server ends them, and the system does, too; seen by a bare socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from starlette.websockets import WebSocketState

from live import live, speech
from raw import RawClient
from streaming_wavlm.protocol import Hello
from streaming_wavlm.serve import Limits, build_service, connection, sockets
from streaming_wavlm.serve.connection import Connection
from tiny import tiny_model

HELLO = Hello(encoding="float32", layers=tuple(range(6)), chunk_ms=400)
LIMITS = [{"outbox_bytes": 300_000}, {"send_seconds": 0.3}]


@pytest.fixture(scope="module")
def model():
    return tiny_model(dtype=torch.float32, window_size=24, dim=64, num_layers=6)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(sockets, "_LINGER_SECONDS", 0.3)
    monkeypatch.setattr(connection, "_CLOSE_SECONDS", 0.1)


@contextlib.contextmanager
def deaf(model, **limits):
    """A server, and a client of it that does not read."""
    with live(model, chunks=(80, 400), rate=1000.0, burst_seconds=1000.0, **limits) as server:
        listener = server.server.servers[0].sockets[0]
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        client = RawClient(urlsplit(server.url).port, HELLO)
        try:
            yield server, client
        finally:
            client.socket.close()


def flood(client: RawClient) -> None:
    with contextlib.suppress(OSError):
        while True:
            client.send(bytes(64_000))


def require_end(server, client) -> None:
    server.wait(lambda service: service.metrics.closed.labels("slow")._value.get() == 1, 15)
    assert client.ended(5)
    server.wait(lambda service: service.connections == 0)
    assert not server.server.server_state.connections
    assert not server.server.server_state.tasks


@pytest.mark.parametrize("limits", LIMITS)
def test_a_flood_that_never_reads_is_ended(limits, model) -> None:
    with deaf(model, **limits) as (server, client):
        threading.Thread(target=flood, args=(client,), daemon=True).start()
        require_end(server, client)


def test_a_client_that_falls_silent_and_never_reads_is_ended(model) -> None:
    """Nothing of it is left unread, so closing the socket would not reset the connection by itself."""
    with deaf(model, **LIMITS[0]) as (server, client):
        for _ in range(9):
            client.send(bytes(64_000))
        require_end(server, client)


def test_an_end_that_waits_behind_unread_data_would_be_seen(model, monkeypatch) -> None:
    monkeypatch.setattr(sockets.WebSocketProtocol, "_cut", lambda self: self.transport.abort())

    def ends() -> bool:
        with deaf(model, **LIMITS[0]) as (server, client):
            for _ in range(9):
                client.send(bytes(64_000))
            server.wait(lambda service: service.metrics.closed.labels("slow")._value.get() == 1, 15)
            return client.ended(1.5)

    # On a busy machine some of the audio may be unread, and then the end is a reset even so.
    assert not all(ends() for _ in range(5))


@pytest.mark.slow
@pytest.mark.parametrize("limits", LIMITS)
def test_floods_that_never_read_are_ended_every_time(limits, model) -> None:
    for _ in range(40):
        with deaf(model, **limits) as (server, client):
            threading.Thread(target=flood, args=(client,), daemon=True).start()
            require_end(server, client)


def test_answers_to_pings_do_not_pile_up_for_a_client_that_never_reads(model) -> None:
    pings = (bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + bytes(125)) * 5000
    with deaf(model) as (server, client):
        for _ in range(8):
            client.socket.sendall(pings)  # 5 MB, all together: more than the system keeps for both
        client.send(speech(0.1).tobytes())
        server.wait(lambda service: service.metrics.audio._value.get() > 0, 20)
        (protocol,) = server.server.server_state.connections
        assert protocol.transport.get_write_buffer_size() < 600_000


class Flood:
    """A WebSocket that always has another packet, and that takes nothing."""

    client_state = WebSocketState.CONNECTED

    def __init__(self) -> None:
        self._said = False

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        if not self._said:
            self._said = True
            return {"type": "websocket.receive", "text": HELLO.text()}
        return {"type": "websocket.receive", "bytes": bytes(2560)}

    async def send_text(self, text: str) -> None:
        if json.loads(text)["type"] != "error":
            await asyncio.sleep(3600)

    send_bytes = send_text

    async def close(self, code: int, reason: str) -> None:
        pass


async def ends(service: Any) -> bool:
    task = asyncio.create_task(Connection(service, Flood()).serve())
    done, _ = await asyncio.wait([task], timeout=3)
    task.cancel()
    return bool(done)


def test_the_wish_to_stop_is_never_lost_to_a_message_of_the_same_moment(model) -> None:
    limits = Limits(send_seconds=0.02, rate=1e6, burst_seconds=1e6, buffer_seconds=1e6, stats_seconds=0)
    service = build_service(model, (400,), limits)
    try:
        for _ in range(20):
            assert asyncio.run(ends(service))
    finally:
        service.shut_down()
