"""``stream --server``: what came is written, however the stream ends."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from live import speech
from scripted import DIM, fail, features, ready, said, scripted
from streaming_wavlm.cli import main
from streaming_wavlm.cli.stream_output import FeatureFile
from streaming_wavlm.cli.stream_server import LiveServer
from streaming_wavlm.errors import AudioError
from streaming_wavlm.protocol import Hello, message

CAME = np.repeat(np.arange(12, dtype=np.float32)[None, :, None], DIM, axis=2)


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMING_WAVLM_TOKEN", raising=False)
    soundfile.write("a.wav", speech(1.23), 16_000)
    return tmp_path


@pytest.fixture
def written(monkeypatch) -> threading.Semaphore:
    """Counts the chunks that the command has taken."""
    count, take = threading.Semaphore(0), FeatureFile.take

    def counted(self, chunk) -> None:
        take(self, chunk)
        count.release()

    monkeypatch.setattr(FeatureFile, "take", counted)
    return count


def told(socket) -> None:
    """Begin a stream, and send some of its features when it is over."""
    socket.send(ready())
    assert said(socket)["type"] == "flush"
    for position in (0, 4, 8):
        socket.send(features(position))


def test_what_came_before_the_server_broke_is_written(here, capsys) -> None:
    def breaks(socket, _) -> None:
        told(socket)
        fail(socket, 1011, "the model failed on this stream")

    with scripted(breaks) as url:
        assert main(["stream", "a.wav", "--server", url, "--out", "f.npy"]) == 2
    assert "the model failed on this stream" in capsys.readouterr().err
    assert np.array_equal(np.load("f.npy"), CAME)


def test_two_wishes_to_stop_leave_what_the_server_owes(here, written, capsys) -> None:
    left = threading.Event()

    def never_ends(socket, _) -> None:
        told(socket)
        for _ in range(3):
            assert written.acquire(timeout=30)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # a second SIGINT might be taken for the same
        left.wait(20)
        fail(socket, 1011, "nobody left")

    with scripted(never_ends) as url:
        assert main(["stream", "a.wav", "--server", url, "--out", "f.npy"]) == 130
        left.set()
    assert "12 frames" in capsys.readouterr().err
    assert np.array_equal(np.load("f.npy"), CAME)


def test_a_server_that_does_not_read_keeps_nobody_from_leaving(here, written) -> None:
    soundfile.write("long.wav", np.zeros(16_000 * 600, np.int16), 16_000)
    left = threading.Event()

    def deaf(socket, _) -> None:
        socket.send(ready())
        for position in (0, 4, 8):
            socket.send(features(position))
            assert written.acquire(timeout=30)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        left.wait(60)

    with scripted(deaf, max_queue=1) as url:
        assert main(["stream", "long.wav", "--server", url, "--out", "f.npy"]) == 130
        left.set()
    assert np.array_equal(np.load("f.npy"), CAME)


def test_a_pause_that_the_server_found_too_long_is_outlived() -> None:
    def idle(socket, _) -> None:
        socket.send(ready())
        socket.recv(timeout=30)
        fail(socket, 4408, "nothing came for 60 s", resumable=True)

    back = threading.Event()

    def goes_on(socket, _) -> None:
        socket.send(ready(samples=320))
        back.set()
        assert said(socket)["type"] == "flush"
        socket.send(features(0))
        socket.send(message("end", stream=0, frames=4, samples=1280, seconds=0.08))

    with scripted(idle, goes_on) as url:
        server = LiveServer(url, Hello(encoding="float32"), None)
        server.push(speech(0.02), None)
        assert back.wait(30)
        chunks = [chunk for come in server.finish() for chunk in come]
        server.close()
    assert [chunk.array.shape for chunk in chunks] == [(1, 4, DIM)]


@pytest.mark.parametrize(
    ("options", "environment", "shown"),
    [
        ([], "secret", [None]),
        (["--token-file", "token"], None, ["secret"]),
        (["--token-file", "token", "--server", "http://127.0.0.1:9"], None, [None]),
    ],
    ids=["of the environment", "given for the source", "given for the server"],
)
def test_a_token_is_shown_to_whom_it_is_for(here, monkeypatch, options, environment, shown) -> None:
    Path("token").write_text("secret")
    if environment:
        monkeypatch.setenv("STREAMING_WAVLM_TOKEN", environment)
    seen = []

    def opened(name: str, *, token: str | None, **_: object) -> None:
        seen.append(token)
        raise AudioError("enough")

    monkeypatch.setattr("streaming_wavlm.sources.open_source", opened)
    assert main(["stream", "ws://127.0.0.1:9/audio", *options]) == 2
    assert seen == shown
