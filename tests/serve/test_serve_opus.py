"""Ogg/Opus to a live server: the features are those of the file decoded at once."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from live import collected, joined, one_pass
from streaming_wavlm import corpus
from streaming_wavlm.audio import Resampler
from streaming_wavlm.client import Client
from streaming_wavlm.errors import ProtocolError, ServerError
from streaming_wavlm.ogg_opus import OpusStream

pytest.importorskip("av")
OPUS = {"encoding": "ogg-opus", "layers": (0, 1)}


@pytest.fixture(scope="module")
def recording() -> bytes:
    wave = np.asarray(corpus.long_recording(2.5)[:40_000], np.float32)
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, format="OGG", subtype="OPUS")
    return file.getvalue()


@pytest.fixture(scope="module")
def expected(model, recording) -> np.ndarray:
    stream, resampler = OpusStream(), Resampler(48_000)
    samples = resampler.push(stream.push(recording))
    return one_pass(model, np.concatenate([samples, resampler.finish()]))


@pytest.mark.parametrize("size", [17, 900, 10**6])
def test_packets_of_any_size_give_the_features_of_the_file(server, recording, expected, size) -> None:
    assert "ogg-opus" in server.service.health()["encodings"]
    with Client(server.url, **OPUS) as client:
        for _ in range(2):  # a flush ends one recording, and another may follow
            for begin in range(0, len(recording), size):
                client.send_encoded(recording[begin : begin + size])
            client.flush()
            events = list(client.until_end())
            np.testing.assert_allclose(joined(events), expected, atol=1e-5)
            assert events[-1]["seconds"] == 2.5


def test_a_lost_connection_is_gone_on_with(server, recording, expected) -> None:
    resumed = server.service.metrics.resumed._value.get()
    with Client(server.url, **OPUS) as client:
        events = []
        for number, begin in enumerate(range(0, len(recording), 300)):
            client.send_encoded(recording[begin : begin + 300])
            if number % 8 == 3:
                client._socket.socket.close()  # nobody says good-bye
            event = client.receive(timeout=0.01)
            events += [event] if event is not None else []
        client.flush()
        events += list(client.until_end())
    assert server.service.metrics.resumed._value.get() > resumed
    np.testing.assert_allclose(joined(events), expected, atol=1e-5)


def say(client: Client, data: bytes) -> None:
    client.send_encoded(data)
    client.flush()
    list(client.until_end())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"RIFF" + data, "begin with 'OggS'"),
        (lambda data: data.replace(b"OpusHead", b"OpusHand"), "page 0 of the Ogg stream is damaged"),
        (lambda data: data[:-5], "it ends within a page"),
        (lambda data: data + data, "more came"),
    ],
)
def test_what_is_no_ogg_opus_closes_that_stream(server, model, recording, expected, spoil, words) -> None:
    with Client(server.url, **OPUS) as neighbour:
        neighbour.send_encoded(recording[:1000])
        with Client(server.url, **OPUS, retries=0) as client, pytest.raises(ServerError, match=words):
            say(client, spoil(recording))
        neighbour.send_encoded(recording[1000:])
        neighbour.flush()
        np.testing.assert_allclose(collected(neighbour), expected, atol=1e-5)


def test_samples_and_bytes_are_not_mixed_up(server) -> None:
    with Client(server.url, **OPUS) as client, pytest.raises(ProtocolError, match="send_encoded"):
        client.send(np.zeros(10, np.float32))
    with Client(server.url) as client, pytest.raises(ProtocolError, match="sent with send"):
        client.send_encoded(b"OggS")


def test_a_server_without_pyav_says_so(server, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert "ogg-opus" not in server.service.health()["encodings"]
    with pytest.raises(ServerError, match=r"does not take ogg-opus: .*streaming-wavlm\[opus\]"):
        Client(server.url, **OPUS)
