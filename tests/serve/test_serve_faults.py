"""What goes wrong with one client is told to that client, and nobody else notices."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from live import collected, joined, live, one_pass, speech
from streaming_wavlm.client import Client
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.errors import ServerError
from streaming_wavlm.protocol import CloseCode, Features, Hello, message
from streaming_wavlm.serve.access import Access
from tiny import tiny_model

HELLO = Hello(encoding="float32", layers=(0, 1))


@pytest.fixture(scope="module")
def server(model):
    limits = {"packet_bytes": 40_000, "hello_seconds": 0.4, "idle_seconds": 0.5, "stream_seconds": 20.0}
    with live(model, **limits) as running:
        yield running


def ended(connection) -> tuple[int, dict]:
    """The code of the close frame, and the error message before it."""
    last: dict = {}
    try:
        while True:
            data = connection.recv(timeout=10)
            if isinstance(data, str):
                last = json.loads(data)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006, last


def short_of_room(server) -> socket.socket:
    """A connection of which the system keeps little for a client that does not read."""
    server.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    line.connect(("127.0.0.1", urlsplit(server.url).port))
    return line


def send_for_ever(connection) -> None:
    with contextlib.suppress(OSError, ConnectionClosed):
        while True:
            connection.send(bytes(64_000))


def receive_for_ever(client, events) -> None:
    while True:
        events.append(client.receive(timeout=5))


@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ([b"\0\0"], CloseCode.BAD_MESSAGE, "first message is a hello"),
        (["no json"], CloseCode.BAD_MESSAGE, "JSON object"),
        (["[1]"], CloseCode.BAD_MESSAGE, "JSON object with a type"),
        (["[" * 3000], CloseCode.BAD_MESSAGE, "JSON object"),
        ([message("hello", protocol=9)], CloseCode.BAD_MESSAGE, "speaks protocol 1"),
        ([message("hello", protocol=1, colour="red")], CloseCode.BAD_MESSAGE, "no field 'colour'"),
        ([message("hello", protocol=1, sample_rate=-1)], CloseCode.BAD_MESSAGE, "sample_rate must be"),
        ([message("hello", protocol=1, layers=[7])], CloseCode.BAD_MESSAGE, "layer 7 does not exist"),
        ([message("hello", protocol=1, chunk_ms=60)], CloseCode.BAD_MESSAGE, "one of 80, 40"),
        ([message("hello", protocol=1, weights=[1, 2])], CloseCode.BAD_MESSAGE, "one number per layer"),
        ([message("hello", protocol=1, token="x")], CloseCode.GONE, "no stream waits"),
        ([HELLO.text(), b"123"], CloseCode.BAD_MESSAGE, "4 bytes a sample"),
        ([HELLO.text(), np.float32([np.nan]).tobytes()], CloseCode.BAD_MESSAGE, "NaN"),
        (
            [HELLO.text(), '{"type": "ping", "time": 1e999}'],
            CloseCode.BAD_MESSAGE,
            "finite number, got inf",
        ),
        ([HELLO.text(), '{"type": "ping", "time": NaN}'], CloseCode.BAD_MESSAGE, "JSON has no NaN"),
        ([HELLO.text(), message("sing")], CloseCode.BAD_MESSAGE, "hello, flush, reset or ping"),
        ([HELLO.text(), bytes(40_004)], CloseCode.TOO_LARGE, "at most 40000 bytes"),
        ([HELLO.text(), bytes(10**6)], 1009, None),
        ([HELLO.text()] + 33 * [bytes(40_000)], CloseCode.TOO_LONG, "at most 20 s"),
        ([], CloseCode.IDLE, "no hello came"),
        ([HELLO.text()], CloseCode.IDLE, "nothing came for 0.5 s"),
    ],
)
def test_a_client_is_told_what_was_wrong(server, model, messages, code, words) -> None:
    with Client(server.url, HELLO) as neighbour:
        wave = speech(0.3)
        neighbour.send(wave[:2000])
        with connect(stream_url(server.url), max_size=None) as socket:
            for one in messages:
                try:
                    socket.send(one)
                except ConnectionClosed:
                    break
            got, error = ended(socket)
        assert got == code
        assert words is None or words in error["reason"]
        neighbour.send(wave[2000:])
        neighbour.flush()
        np.testing.assert_allclose(collected(neighbour), one_pass(model, wave), atol=1e-5)
    server.wait(lambda service: service.connections == 0)


def test_a_lost_connection_is_gone_on_with_bit_by_bit(server, model) -> None:
    wave = speech(2.0, 1)
    with Client(server.url, HELLO) as undisturbed:
        for part in np.split(wave, 20):
            undisturbed.send(part)
        undisturbed.flush()
        expected = collected(undisturbed)
    with Client(server.url, HELLO) as client:
        events = []
        for number, part in enumerate(np.split(wave, 20)):
            client.send(part)
            if number % 4 == 1:
                client._socket.socket.close()  # nobody says good-bye
            event = client.receive(timeout=0.05)
            events += [event] if event is not None else []
        client.flush()
        events += list(client.until_end())
    assert server.service.metrics.resumed._value.get() >= 3
    assert np.array_equal(joined(events), expected)


def test_streams_that_are_gone_cannot_be_gone_on_with(model) -> None:
    with live(model, parked=1, parked_seconds=0.3, replay_bytes=1000) as server:
        first, second = (Client(server.url, HELLO, retries=1) for _ in range(2))
        for client in (first, second):
            client.send(speech(0.5))
            client._socket.socket.close()
        server.wait(lambda service: service.open_streams == 0)
        assert len(server.service._parked) == 1
        with pytest.raises(ServerError, match=r"came too late|no longer kept"):
            list(first.until_end())
        time.sleep(0.4)
        with pytest.raises(ServerError, match=r"came too late|no longer kept"):
            list(second.until_end())


def test_streams_that_wait_for_their_clients_have_bounded_memory(model) -> None:
    def park(server) -> int:
        client = Client(server.url, HELLO, retries=0)
        client.send(speech(0.5))
        # Until the model has done what it can: audio that waits takes more memory than its features.
        while (event := client.receive(timeout=20)) is None or event.position < 20:
            pass
        client._socket.socket.close()
        server.wait(lambda service: service.open_streams == 0)
        return server.service._parked.nbytes()

    with live(model) as server:
        one = park(server)
        assert one > 10_000  # its state, what may be sent again, what was not computed
    with live(model, parked_bytes=round(2.5 * one)) as server:
        assert [park(server) < 2.5 * one for _ in range(6)] == 6 * [True]
        assert len(server.service._parked) == 2
        assert server.service.metrics.dropped._value.get() == 4
    with live(model, parked_bytes=one // 2) as server:
        assert park(server) == 0


def test_a_full_server_answers_with_503_and_a_sentence(model, caplog) -> None:
    with live(model, streams=2) as server:
        with Client(server.url, HELLO), Client(server.url, HELLO):
            with pytest.raises(ServerError, match="all 2 streams of this server are taken"):
                Client(server.url, HELLO)
            with pytest.raises(InvalidStatus) as refused, connect(stream_url(server.url)):
                pass
            assert refused.value.response.status_code == 503
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # it is none
        server.wait(lambda service: service.connections == 0)
        Client(server.url, HELLO).close()


@pytest.mark.parametrize("limits", [{"outbox_bytes": 500_000}, {"send_seconds": 0.3}])
def test_a_client_that_never_reads_is_closed_and_the_others_go_on(limits) -> None:
    model = tiny_model(dtype=torch.float32, window_size=24, dim=64, num_layers=6)
    with live(model, chunks=(80, 400), rate=1000.0, burst_seconds=1000.0, **limits) as server:
        line = short_of_room(server)
        deaf = connect(stream_url(server.url), sock=line, max_size=None, compression=None, max_queue=1)
        deaf = deaf.__enter__()
        deaf.send(Hello(encoding="float32", layers=tuple(range(6)), chunk_ms=400).text())
        threading.Thread(target=send_for_ever, args=(deaf,), daemon=True).start()
        server.wait(lambda service: service.metrics.closed.labels("slow")._value.get() == 1, 30)
        with Client(server.url, HELLO) as client:
            client.send(speech(0.2))
            client.flush()
            np.testing.assert_allclose(collected(client), one_pass(model, speech(0.2))[:2], atol=1e-5)
        server.wait(lambda service: service.connections == 0)
        line.close()


def test_when_the_model_fails_on_one_stream_the_others_lose_nothing(model, caplog) -> None:
    with live(model, wait_ms=200.0) as server:
        step = model.__class__.step
        poison = 0.7654321

        def failing(self, chunk, state, active=None, **options):
            if bool((chunk == np.float32(poison)).any()):
                raise RuntimeError("out of memory")
            return step(self, chunk, state, active, **options)

        bound = server.service._batcher._models[80]
        bound.step = failing.__get__(bound)
        wave = speech(0.4, 7)
        with Client(server.url, HELLO) as good, Client(server.url, HELLO, retries=0) as bad:
            bad.send(np.full(1280, poison, np.float32))
            good.send(wave)
            good.flush()
            np.testing.assert_allclose(collected(good), one_pass(model, wave), atol=1e-5)
            with pytest.raises(ServerError, match="the model failed on this stream: out of memory"):
                list(bad.until_end())
        assert server.service.metrics.errors.labels("model")._value.get() == 1


def resident() -> float:
    """Memory of this process, which is the server's, too, in MiB, without what is free already."""
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.parametrize("times", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_hellos_without_audio_leave_nothing_behind(server, times) -> None:
    before = len(server.service._parked)  # of clients of other tests that may come back
    early = 0.0
    for number in range(times):
        if number == times // 5:
            early = resident()
        with connect(stream_url(server.url), compression=None) as line:
            line.send(HELLO.text())
            line.recv(timeout=5)
    assert resident() - early < 4
    server.wait(lambda service: service.connections == 0)
    assert not server.service._listeners
    assert len(server.service._parked) == before


def test_a_server_that_is_stopped_finishes_what_it_has(model) -> None:
    wave = speech(0.8, 8)
    with live(model) as server:
        with Client(server.url, HELLO, retries=0) as client:
            client.send(wave)
            first = client.receive(timeout=5)
            server.server.should_exit = True
            events = [first]
            with pytest.raises(ServerError, match="the server is stopping"):
                receive_for_ever(client, events)
        np.testing.assert_allclose(joined(events), one_pass(model, wave), atol=1e-5)
        with pytest.raises(ServerError):
            Client(server.url, HELLO, timeout=1)


def test_tokens_and_origins(model) -> None:
    with live(model, access=Access(token="secret", origins=("https://a.example",))) as server:
        url = stream_url(server.url)
        with pytest.raises(ServerError, match="a bearer token is needed"):
            Client(server.url, HELLO)
        with pytest.raises(ServerError, match="a bearer token is needed"):
            Client(server.url, HELLO, token="wrong")
        Client(server.url, HELLO, token="secret").close()
        with connect(url, subprotocols=["bearer.secret"]) as socket:
            assert socket.subprotocol == "bearer.secret"
        for origin, allowed in (
            ("https://a.example", True),
            (server.url, True),
            ("https://b.example", False),
        ):
            headers = {"Authorization": "Bearer secret"}
            if allowed:
                connect(url, origin=origin, additional_headers=headers).__enter__().close()
                continue
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(url, origin=origin, additional_headers=headers),
            ):
                pass
            assert refused.value.response.status_code == 403


def test_health_and_metrics_tell_what_goes_on(server) -> None:
    with Client(server.url, HELLO) as client:
        client.send(speech(0.2))
        assert isinstance(client.receive(timeout=5), Features)
        with urllib.request.urlopen(server.url + "/healthz") as reply:
            health = json.load(reply)
        assert health["status"] == "ok"
        assert health["streams"] == 1
        assert health["chunk_ms"] == [80, 40]
        with urllib.request.urlopen(server.url + "/metrics") as reply:
            text = reply.read().decode()
    assert "streaming_wavlm_streams 1.0" in text
    assert "streaming_wavlm_chunk_latency_seconds_bucket" in text
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(server.url + "/nothing")


def test_a_flood_is_read_no_faster_than_the_limit(model) -> None:
    with live(model, rate=4.0, burst_seconds=1.0) as server, Client(server.url, HELLO) as client:
        began = time.monotonic()
        sender = threading.Thread(target=lambda: [client.send(speech(0.5)) for _ in range(8)])
        sender.start()
        sender.join()
        client.flush()
        collected(client)
        assert time.monotonic() - began > 0.6  # 3 s beyond the burst, at 4 times real time
