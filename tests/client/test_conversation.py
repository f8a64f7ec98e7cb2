"""A client that lost its connection says again what the server has not got, and nothing else."""

from __future__ import annotations

import struct
import threading
import unittest.mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from live import joined, one_pass
from streaming_wavlm.client.conversation import Conversation
from streaming_wavlm.errors import ProtocolError, ServerError
from streaming_wavlm.ogg_opus import Pages, page_checksum
from streaming_wavlm.protocol import Features, Hello, message, parse, parse_hello, samples_of
from streaming_wavlm.serve.batcher import Batcher, Job, Result
from streaming_wavlm.serve.metrics import Metrics
from streaming_wavlm.serve.stream import LiveStream
from tiny import tiny_model

MODEL = tiny_model(dtype=torch.float32, window_size=24).with_chunk(80)
HELLO = Hello(encoding="float32", layers=(0, 1))


class Wire:
    """A server without sockets, whose connection can be cut after any message in either direction."""

    def __init__(self, replay_bytes: int = 2**20) -> None:
        self.talk = Conversation(HELLO)
        self.replay_bytes = replay_bytes
        self.stream: LiveStream | None = None
        self.to_client: list[bytes | str] = []
        self.events: list[object] = []
        self.dial()

    def dial(self) -> None:
        hello = parse_hello(parse(self.talk.hello()))
        self.to_client = []
        if self.stream is None:
            self.stream = LiveStream(hello, MODEL, self.replay_bytes)
            missed = []
        else:
            if (hello.stream, hello.received) == (self.stream.stream + 1, 0):
                self.stream.reset()
            missed = self.stream.missed(hello.stream, hello.received)
            assert missed is not None
        ready = message(
            "ready", token=self.stream.token, stream=self.stream.stream, samples=self.stream.samples,
            packet_bytes=4000,
        )  # fmt: skip
        self.talk.take(ready)
        for one in missed:
            self.hear(one.payload)
        for data in self.talk.again():
            self.say(data)

    def say(self, data: bytes | str) -> None:
        """A message arrives at the server, which answers into the wire."""
        if isinstance(data, bytes):
            self.stream.push(data)
        else:
            getattr(self.stream, parse(data)["type"])()
        while (job := self.stream.job(lambda *_: None)) is not None:
            self.to_client += [one.payload for one in self.stream.take(job, computed(job))]

    def speak(self, samples: np.ndarray) -> None:
        for packet in self.talk.audio(samples):
            self.say(packet)

    def hear(self, payload: bytes | str) -> None:
        event = self.talk.take(payload)
        if event is not None:
            self.events.append(event)

    def deliver(self) -> None:
        for payload in self.to_client:
            self.hear(payload)
        self.to_client = []


def computed(job: Job) -> Result:
    batcher = Batcher.__new__(Batcher)
    batcher._models = {80: MODEL}
    batcher._metrics = Metrics()
    return batcher._together([job])[0]


FATES = st.tuples(
    st.integers(1, 3000),
    st.sampled_from(["arrives", "is lost", "arrives, the answer is lost"]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FATES, max_size=12), st.booleans())
def test_a_connection_that_is_cut_at_any_moment_loses_nothing(fates, cut_at_the_end) -> None:
    wave = (0.1 * np.random.default_rng(1).standard_normal(9000)).astype(np.float32)
    wire, place, lost = Wire(), 0, False
    for size, fate, dials in [*fates, (9000, "arrives", False)]:
        if place >= len(wave):
            break
        packets = list(wire.talk.audio(wave[place : place + size]))
        place += size
        if not lost and fate != "is lost":
            for packet in packets:
                wire.say(packet)
        lost = lost or fate != "arrives"
        if not lost:
            wire.deliver()
        elif dials:
            wire.dial()
            lost = False
    flush = wire.talk.flush()
    if lost or cut_at_the_end:
        wire.dial()  # says the flush again
    else:
        wire.say(flush)
    wire.deliver()
    assert wire.events[-1]["type"] == "end"
    places = [event.position for event in wire.events if isinstance(event, Features)]
    assert places == sorted(set(places))
    np.testing.assert_allclose(joined(wire.events), one_pass(MODEL, wave), atol=1e-5)


def test_a_reset_that_was_lost_is_made_good() -> None:
    wire = Wire()
    wire.speak(np.zeros(2000, np.float32))
    wire.deliver()
    wire.talk.reset()
    wire.dial()
    assert wire.stream.stream == wire.talk.stream == 1
    wave = (0.1 * np.random.default_rng(2).standard_normal(3000)).astype(np.float32)
    wire.events.clear()
    wire.speak(wave)
    wire.say(wire.talk.flush())
    wire.deliver()
    np.testing.assert_allclose(joined(wire.events), one_pass(MODEL, wave), atol=1e-5)


@pytest.mark.parametrize(
    ("ending", "again"),
    [({"ending": True}, []), ({"ending": False}, ["flush"]), ({}, ["flush"])],
    ids=["taken", "not taken", "an older server"],
)
def test_a_flush_that_the_server_has_is_not_said_again(ending, again) -> None:
    talk = Conversation(HELLO)
    talk.take(message("ready", token="t", stream=0, samples=0))
    list(talk.audio(np.zeros(1600, np.float32)))
    assert parse(talk.flush()) == {"type": "flush", "stream": 0}
    talk.take(message("ready", token="t", stream=0, samples=1600, **ending))
    assert [parse(data) for data in talk.again()] == [{"type": kind, "stream": 0} for kind in again]


def test_flushes_of_later_streams_are_said_again_beside_one_that_the_server_has() -> None:
    talk = Conversation(HELLO)
    for _ in range(2):
        list(talk.audio(np.ones(10, np.float32)))
        talk.flush()
    talk.take(message("ready", token="t", stream=0, samples=10, ending=True))
    audio, flush = talk.again()
    assert audio == np.ones(10, np.float32).tobytes()
    assert parse(flush) == {"type": "flush", "stream": 1}


def test_the_end_of_a_stream_that_goes_on_is_passed_over() -> None:
    talk = Conversation(HELLO)
    list(talk.audio(np.zeros(10, np.float32)))
    talk.flush()
    for number, known in ((0, True), (1, False), (1, False), (7, False)):
        event = talk.take(message("end", stream=number, frames=0, samples=0, seconds=0))
        assert (event is not None) == known
    list(talk.audio(np.zeros(10, np.float32)))  # stream 1 goes on
    talk.flush()
    assert talk.take(message("end", stream=1, frames=1, samples=10, seconds=0)) is not None


def test_pooled_features_count_as_the_frames_that_they_are_the_mean_of() -> None:
    talk = Conversation(HELLO)
    one_row = np.zeros((2, 1, 16), np.float32)
    for place in (0, 4):
        assert talk.take(Features(one_row, 0, place, pooled=4).pack()) is not None
    assert talk.position == 8
    assert talk.take(Features(one_row, 0, 4, pooled=4).pack()) is None  # sent again after a lost connection


def test_features_out_of_turn_and_strange_audio_are_errors() -> None:
    talk = Conversation(HELLO)
    with pytest.raises(ProtocolError, match="frame 0 of stream 0 is due, got frame 4"):
        talk.take(Features(np.zeros((2, 4, 16), np.float32), 0, 4).pack())
    for bad in (np.zeros((2, 2), np.float32), np.zeros(3, np.int32)):
        with pytest.raises(ProtocolError, match="audio is mono"):
            list(talk.audio(bad))
    with pytest.raises(ServerError, match="too slow"):
        talk.take(message("error", code=4429, reason="too slow"))


@pytest.mark.parametrize("encoding", ["float32", "pcm16"])
def test_audio_of_any_length_is_cut_into_what_a_server_takes(encoding) -> None:
    talk = Conversation(Hello(encoding=encoding))
    talk.take(message("ready", token="t", stream=0, samples=0, packet_bytes=1001))
    wave = np.arange(5000, dtype=np.int16)
    messages = list(talk.audio(wave))
    assert max(map(len, messages)) <= 1001
    assert np.array_equal(samples_of(b"".join(messages), encoding), wave / np.float32(32768))
    assert list(talk.again()) == messages


def silence(pages: int) -> bytes:
    """Pages of a second each, of packets of one byte, as a coder writes that says nothing of silence."""
    head = struct.Struct("<4sBBqIIIB")

    def page(number: int, checksum: int = 0) -> bytes:
        said = head.pack(b"OggS", 0, 0, 48_000 * (number + 1), 7, number, checksum, 50)
        return said + bytes([1] * 50) + b"\x48" * 50

    return b"".join(page(number, page_checksum(page(number))) for number in range(pages))


@pytest.mark.parametrize("size", [1, 2, 130, 1000, 10**6])
def test_no_message_of_an_ogg_stream_brings_more_than_one_page(size) -> None:
    talk, data = Conversation(Hello(encoding="ogg-opus")), silence(60)
    messages = [one for at in range(0, len(data), size) for one in talk.encoded(data[at : at + size])]
    talk.take(message("ready", token="t", stream=0, samples=0))
    for said in (messages, list(talk.again())):
        pages = Pages()
        assert max(len(list(pages.push(one))) for one in said) == 1
        assert b"".join(said) == data


def test_other_bytes_are_cut_as_they_come() -> None:
    assert list(map(len, Conversation(Hello(encoding="ogg-opus")).encoded(bytes(9000)))) == [4096, 4096, 808]


def test_audio_is_forgotten_once_its_features_are_here_and_not_before() -> None:
    talk = Conversation(HELLO, keep_seconds=3)
    for _ in range(100):
        list(talk.audio(np.zeros(1600, np.float32)))
    kept = sum(map(len, talk._outgoing[0].packets)) // 4
    assert kept == 3 * 16_000
    talk.position = 0
    talk.take(message("ready", token="t", stream=0, samples=0))
    with pytest.raises(ServerError, match="lost for too long"):
        list(talk.again())
    short = Conversation(HELLO)
    for place in range(40):
        list(short.audio(np.zeros(1600, np.float32)))
        short.take(Features(np.zeros((2, 5, 16), np.float32), 0, 5 * place).pack())
    assert sum(map(len, short._outgoing[0].packets)) // 4 <= 2 * 16_000


def test_a_reset_between_the_look_at_features_and_their_count_is_not_miscounted() -> None:
    talk, looked, go_on = Conversation(HELLO), threading.Event(), threading.Event()

    class Place(int):
        """A position that is compared while another thread resets."""

        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            looked.set()
            go_on.wait(0.5)  # a reset that has to wait does not let it go on
            return int(self) == other

    features = Features(np.zeros((2, 4, 16), np.float32), 0, Place(0))
    with unittest.mock.patch.object(Features, "unpack", return_value=features):
        taking = threading.Thread(target=talk.take, args=(b"",))
        taking.start()
        assert looked.wait(30)
        talk.reset()
        go_on.set()
        taking.join(30)
    assert (talk.stream, talk.position) == (1, 0)
