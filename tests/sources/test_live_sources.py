"""Each kind of source gives the audio it is given, and a sentence where it cannot."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from websockets.sync.server import serve

from live import speech
from streaming_wavlm.audio import read_audio
from streaming_wavlm.errors import AudioError, MissingDependencyError, ProtocolError
from streaming_wavlm.sources import open_source
from streaming_wavlm.sources.pcm import WholeSamples
from streaming_wavlm.sources.pipe import Pipe


def heard(source, stop_after: int | None = None) -> np.ndarray:
    stopped = threading.Event()
    parts: list[np.ndarray] = []

    def put(samples, *, gap=False) -> None:
        parts.append(samples)
        if stop_after is not None and sum(map(len, parts)) >= stop_after:
            stopped.set()

    source.run(put, stopped)
    return np.concatenate(parts)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.flac"
    soundfile.write(path, speech(0.7), 22_050)
    return path


def piped(data: bytes, sizes: list[int]) -> int:
    reading, writing = os.pipe()

    def write() -> None:
        place = 0
        for size in [*sizes, len(data)]:
            os.write(writing, data[place : place + size])
            place += size
            time.sleep(0.002)
        os.close(writing)

    threading.Thread(target=write).start()
    return reading


def test_a_file_is_read_as_16_khz(recording) -> None:
    source = open_source(str(recording))
    assert source.waits
    assert np.array_equal(heard(source), read_audio(recording))


def test_in_real_time_a_file_takes_as_long_as_it_is_and_can_be_stopped(recording) -> None:
    source = open_source(str(recording), realtime=True)
    assert not source.waits
    began = time.monotonic()
    assert np.array_equal(heard(source), read_audio(recording))
    assert time.monotonic() - began >= 0.65 * 16_000 / 22_050
    assert len(heard(source, stop_after=1600)) < 3200


@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
def test_a_pipe_in_odd_pieces_gives_every_sample(encoding) -> None:
    wave = speech(0.5)
    pcm = np.round(wave * 32768).astype("<i2")
    data, expected = (
        (pcm.tobytes(), pcm / np.float32(32768)) if encoding == "pcm16" else (wave.tobytes(), wave)
    )
    reading = piped(data, [1, 3, 7, 1, 1001, 4099, 5])
    assert np.array_equal(heard(Pipe(reading, 16_000, encoding)), expected)
    os.close(reading)


def test_a_pipe_that_ends_inside_a_sample_warns(caplog) -> None:
    reading = piped(bytes(2001), [])
    assert len(heard(Pipe(reading))) == 1000
    assert "1 bytes were left over" in caplog.text
    os.close(reading)


@pytest.mark.parametrize(("data", "expected"), [(b"\0\x40", [0.5]), (b"\0\x40\0", [0.5])])
def test_a_pipe_may_hold_a_single_sample(data, expected) -> None:
    reading = piped(data, [])
    assert heard(Pipe(reading)).tolist() == expected
    os.close(reading)


@pytest.mark.parametrize("data", [b"", b"\1"])
def test_a_pipe_that_holds_nothing_is_an_error(data) -> None:
    reading = piped(data, [])
    with pytest.raises(AudioError, match="held no audio"):
        heard(Pipe(reading))
    os.close(reading)


@pytest.mark.parametrize("beginning", [b"RIFF", b"fLaC", b"OggS", b"ID3\4"])
def test_a_file_where_raw_audio_belongs_is_noticed(beginning) -> None:
    samples = WholeSamples("pcm16")
    samples.take(beginning[:2])
    with pytest.raises(AudioError, match="no raw audio"):
        samples.take(beginning[2:] + bytes(40))


def test_raw_audio_that_is_nan_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="NaN"):
        WholeSamples("float32").take(np.float32([0, np.nan]).tobytes())


def test_a_websocket_gives_its_binary_messages() -> None:
    pcm = np.round(speech(0.3) * 32768).astype("<i2")
    data = pcm.tobytes()

    def send(socket) -> None:
        for message in (data[:1], "text", data[1:500], data[500:]):
            socket.send(message)

    with serve(send, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        got = heard(open_source(f"ws://127.0.0.1:{port}/audio"))
        server.shutdown()
        thread.join()
    assert np.array_equal(got, pcm / np.float32(32768))
    with pytest.raises(AudioError, match="no audio comes from ws://127"):
        heard(open_source(f"ws://127.0.0.1:{port}/audio"))


class _PortAudioError(Exception):
    pass


class _InputStream:
    """Calls back from another thread with two channels, as PortAudio does."""

    active = True

    def __init__(self, *, samplerate, blocksize, callback, **options) -> None:
        self.options = options
        self._callback = callback
        self._block = blocksize
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        memory = np.zeros((self._block, 1), np.float32)
        for number in range(10):
            memory[:] = number  # the same memory again
            self._callback(memory, self._block, None, SimpleNamespace(input_overflow=number == 5))
        self._over.wait()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def sounddevice(monkeypatch):
    devices = [
        {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48_000.0},
        {"name": "Headset", "max_input_channels": 1, "default_samplerate": 44_100.0},
    ]

    def query(device=None, kind=None):
        if kind is None:
            return devices
        if device in (None, 1, "Head"):
            return devices[1]
        raise ValueError(f"No input device matching {device!r}")

    fake = SimpleNamespace(query_devices=query, InputStream=_InputStream, PortAudioError=_PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.mark.parametrize("name", ["mic", "mic:1", "mic:Head"])
def test_a_microphone_is_heard_at_its_own_rate(sounddevice, name) -> None:
    source = open_source(name)
    assert (source.sample_rate, source.waits, source.endless) == (44_100, False, True)
    assert open_source(name, sample_rate=16_000).sample_rate == 16_000
    got = heard(source, stop_after=8820)
    assert np.array_equal(got, np.repeat(np.arange(10, dtype=np.float32), 882))


def test_a_microphone_that_is_unplugged_ends_the_stream(sounddevice, monkeypatch) -> None:
    monkeypatch.setattr(_InputStream, "active", False)
    with pytest.raises(AudioError, match="has stopped"):
        heard(open_source("mic"))


def test_a_microphone_that_is_not_there_is_named_with_those_that_are(sounddevice) -> None:
    with pytest.raises(AudioError, match=r"no microphone 'x'.*there are 1: Headset"):
        open_source("mic:x")


def test_without_its_library_the_microphone_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependencyError, match="pip install sounddevice"):
        open_source("mic")


def test_without_portaudio_the_microphone_says_what_to_install(monkeypatch, tmp_path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(MissingDependencyError, match="apt install libportaudio2"):
        open_source("mic")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nothing.wav", {}, "does not exist"),
        ("http://a.example", {}, "--server http://a.example"),
        ("-", {"realtime": True}, "--realtime is for files"),
        ("ws://a.example", {"sample_rate": 3}, "4000 to 192000 Hz, got 3"),
    ],
)
def test_a_source_that_cannot_be_is_a_sentence(name, options, words) -> None:
    with pytest.raises(AudioError, match=words):
        open_source(name, **options)


def test_the_rate_of_a_file_is_its_own(recording) -> None:
    with pytest.raises(AudioError, match="states its own"):
        open_source(str(recording), sample_rate=8000)
