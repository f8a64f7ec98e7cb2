"""Good-byes: said when a client is closed, soon, and never to a stream that is to be gone on with."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest

from both_clients import both
from scripted import fail, features, ready, said, scripted
from streaming_wavlm.client import Client
from streaming_wavlm.errors import ServerError
from streaming_wavlm.protocol import message

PACKET = np.zeros(320, np.float32)


@both
def test_a_client_with_unread_features_leaves_at_once(kind) -> None:
    code, sent = [], threading.Event()

    def talks_on(socket, _) -> None:
        socket.send(ready())
        for number in range(300):  # more than the library keeps
            socket.send(features(4 * number))
        sent.set()
        with pytest.raises(Exception, match="1000"):
            said(socket)
        code.append(socket.close_code)

    with scripted(talks_on) as url, kind(url, encoding="float32") as client:
        client.receive()
        assert sent.wait(30)
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 5
    assert code == [1000]


@both
def test_an_answer_that_comes_too_late_costs_an_attempt_and_not_the_stream(kind) -> None:
    codes = []

    def lost(socket, _) -> None:
        socket.send(ready())
        socket.recv()
        socket.socket.shutdown(2)

    def late(socket, hello) -> None:
        with pytest.raises(Exception, match="close"):
            socket.recv(timeout=30)  # the client gives up
        codes.append(socket.close_code)

    def answers(socket, hello) -> None:
        assert hello["token"] == "t"
        socket.send(ready(samples=320))
        assert said(socket)["type"] == "flush"
        socket.send(message("end", stream=0, frames=0, samples=320, seconds=0.02))

    def held(socket, _) -> None:
        fail(socket, 4410, "no stream waits for this token")  # the server has not seen yet that it does

    with scripted(lost, late, held, answers) as url, kind(url, encoding="float32", timeout=1.0) as client:
        client.send(PACKET)
        client.flush()
        assert [event["type"] for event in client.until_end()] == ["end"]
    assert codes == [1006]  # 1000 would have ended the stream


def test_a_thread_that_receives_does_not_come_back_from_a_client_that_is_closed() -> None:
    dialled, failed = [], []

    def waits(socket, _) -> None:
        socket.send(ready())
        with pytest.raises(Exception, match="1000"):
            said(socket)

    def receive() -> None:
        with pytest.raises(ServerError, match="the client was closed"):
            client.receive()
        failed.append(1)

    with scripted(waits, lambda *_: dialled.append(1)) as url:
        client = Client(url, encoding="float32")
        thread = threading.Thread(target=receive)
        thread.start()
        client.close()
        thread.join(30)
    assert failed
    assert not dialled


def test_a_client_leaves_a_server_that_does_not_read() -> None:
    over = threading.Event()

    def deaf(socket, _) -> None:
        socket.send(ready())
        over.wait(60)

    def send() -> None:
        with contextlib.suppress(ServerError):
            while True:
                client.send(np.zeros(100_000, np.float32))
                sent.set()

    with scripted(deaf, max_queue=1) as url:
        client, sent = Client(url, encoding="float32"), threading.Event()
        thread = threading.Thread(target=send)
        thread.start()
        while sent.wait(1.0):  # until there is no room on the way
            sent.clear()
        client.close()
        thread.join(30)
        assert not thread.is_alive()
        over.set()
