"""Clients that vanish, or never say anything: seen by bare sockets."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

from live import collected, live, one_pass, speech
from raw import RawClient
from streaming_wavlm.client import Client
from streaming_wavlm.protocol import Hello

HELLO = Hello(encoding="float32", layers=(0, 1))


def port(server) -> int:
    return int(urlsplit(server.url).port or 0)


@pytest.mark.parametrize("killed", [True, False], ids=["reset", "closed"])
def test_clients_that_die_in_the_middle_of_a_packet_leave_nothing_but_a_parked_stream(model, killed) -> None:
    wave = speech(0.6)
    with live(model) as server, Client(server.url, HELLO) as neighbour:
        neighbour.send(wave[:3000])
        for number in range(12):
            client = RawClient(port(server), HELLO)
            client.send(bytes(2000 * number))
            # The head of a frame of 40 000 bytes, and some of them.
            client.socket.sendall(bytes([0x82, 0xFE]) + struct.pack(">H", 40_000) + bytes(4 + 1000 * number))
            if killed:  # as the system ends what a dead process had open with data unread
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
        server.wait(lambda service: service.connections == 1)
        assert len(server.service._parked) == 12
        neighbour.send(wave[3000:])
        neighbour.flush()
        np.testing.assert_allclose(collected(neighbour), one_pass(model, wave), atol=1e-5)
        assert server.service.metrics.errors.labels("connection")._value.get() == 0


@pytest.mark.parametrize("said", [b"", b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n", b"GET / HTT"])
def test_connections_that_never_ask_for_anything_are_closed(model, said) -> None:
    with live(model, hello_seconds=0.3) as server:
        lines = [socket.create_connection(("127.0.0.1", port(server))) for _ in range(30)]
        for line in lines:
            line.sendall(said)
        for line in lines:
            line.settimeout(5)
            try:
                assert line.recv(1000) == b""
            except ConnectionResetError:
                continue
        assert not server.server.server_state.connections
        for line in lines:
            line.close()


@pytest.mark.parametrize("together", [True, False])
def test_half_of_a_second_request_is_not_waited_for_without_end(model, together) -> None:
    first, half = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /healthz HT"
    with live(model, hello_seconds=0.3) as server, socket.socket() as line:
        line.settimeout(20)
        line.connect(("127.0.0.1", port(server)))
        line.sendall(first + half if together else first)
        assert line.recv(10_000).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(OSError):
            line.sendall(b"" if together else half)
            while line.recv(10_000):
                pass
        server.wait(lambda _: not server.server.server_state.connections)


def test_requests_one_after_the_other_have_time_each(model) -> None:
    with live(model, hello_seconds=0.5) as server:
        line = http.client.HTTPConnection("127.0.0.1", port(server), timeout=20)
        line.connect()
        line.auto_open = 0  # it must not connect anew
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            line.request("GET", "/healthz")
            answer = line.getresponse()
            assert answer.status == 200
            answer.read()
            time.sleep(0.05)
        line.close()


def test_a_stream_outlives_the_time_for_a_first_request(model) -> None:
    wave = speech(0.9)
    with live(model, hello_seconds=0.2) as server, Client(server.url, HELLO, retries=0) as client:
        for part in np.split(wave, 9):
            client.send(part)
            client.receive(timeout=0.1)
        assert server.service.connections == 1


def test_what_is_said_to_a_client_that_is_gone_does_not_fill_the_log(model, caplog) -> None:
    said = b'{"type": "ping"}'
    pings = (bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said) * 5000
    with live(model, rate=1e6, burst_seconds=1e6) as server:
        for _ in range(3):
            client = RawClient(port(server), HELLO)
            client.socket.sendall(pings)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()  # a reset
        server.wait(lambda service: service.connections == 0, 30)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("seed", range(8))
def test_garbage_in_place_of_frames_ends_that_connection_alone(model, seed) -> None:
    rng, wave = np.random.default_rng(seed), speech(0.5)
    frames = {
        0: bytes([0x82, 5]) + b"12345",  # not masked
        1: bytes([0xF2, 0x80, 0, 0, 0, 0]),  # bits that are reserved
        2: bytes([0x8B, 0x80, 0, 0, 0, 0]),  # an opcode that nobody knows
        3: bytes([0x80, 0x80, 0, 0, 0, 0]),  # goes on with nothing
        4: bytes([0x89, 0xFE, 0x10, 0, 0, 0, 0, 0]) + bytes(4096),  # a ping that is too long
        5: bytes([0x82, 0xFF]) + b"\xff" * 8 + bytes(4),  # a length below zero
        6: bytes([0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28]),  # text that is none
    }
    with live(model) as server, Client(server.url, HELLO) as neighbour:
        neighbour.send(wave[:3000])
        client = RawClient(port(server), HELLO)
        client.socket.sendall(frames.get(seed, rng.bytes(3000)))
        server.wait(lambda service: service.connections == 1)
        client.socket.close()
        neighbour.send(wave[3000:])
        neighbour.flush()
        np.testing.assert_allclose(collected(neighbour), one_pass(model, wave), atol=1e-5)


def test_a_client_that_answers_no_ping_is_ended_unless_it_sends(model) -> None:
    with live(model) as server:
        server.server.config.ws_ping_interval, server.server.config.ws_ping_timeout = 0.1, 0.3
        client = RawClient(port(server), HELLO)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            client.send(speech(0.02).tobytes())
            time.sleep(0.02)
        assert server.service.connections == 1  # its answers may be under way behind the audio
        server.wait(lambda service: service.connections == 0, 3)
        client.socket.close()
