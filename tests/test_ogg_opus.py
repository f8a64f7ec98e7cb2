"""Ogg/Opus in pieces gives the samples of the file at once; damaged streams are named errors."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from streaming_wavlm import corpus, ogg_opus
from streaming_wavlm.errors import AudioError, MissingDependencyError
from streaming_wavlm.ogg_opus import OpusStream

av = pytest.importorskip("av")


def recording(seconds: float = 3.0, channels: int = 1, rate: int = 48_000) -> bytes:
    wave = np.asarray(corpus.long_recording(seconds)[: int(seconds * 16_000)], np.float32)
    wave = np.repeat(wave, rate // 16_000)
    if channels == 2:
        wave = np.stack([wave, wave[::-1]], axis=1)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="OGG", subtype="OPUS")
    return file.getvalue()


def sealed(data: bytes) -> bytes:
    """The bytes with the checksums that their pages should have, as far as they are pages."""
    found, place = bytearray(data), 0
    while data[place : place + 4] == b"OggS" and len(data) >= place + 27:
        lengths = data[place + 27 : place + 27 + data[place + 26]]
        end = place + 27 + len(lengths) + sum(lengths)
        struct.pack_into("<I", found, place + 22, ogg_opus.page_checksum(bytes(found[place:end])))
        place = end
    return bytes(found)


def at_once(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1).mean(axis=0)


def in_pieces(data: bytes, sizes: list[int]) -> np.ndarray:
    stream, place, parts = OpusStream(), 0, []
    for size in [*sizes, len(data)]:
        parts.append(stream.push(data[place : place + size]))
        place += size
    stream.finish()
    return np.concatenate(parts)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_pieces_of_any_size_give_the_file_at_once(channels, size) -> None:
    data = recording(2.3, channels)
    got = in_pieces(data, [size] * (len(data) // size))
    assert len(got) == round(2.3 * 48_000)
    np.testing.assert_allclose(got, at_once(data)[: len(got)], atol=1e-6)
    # Another decoder, libopus: for one channel the same, for two FFmpeg's differs from it by itself.
    other = soundfile.read(io.BytesIO(data))[0].reshape(len(got), -1).mean(axis=1)
    np.testing.assert_allclose(got, other, atol=2e-6 if channels == 1 else 5e-3)
    np.testing.assert_array_equal(got, in_pieces(data, []))


def test_the_embedded_recordings_are_decoded_as_libsndfile_does() -> None:
    for clip in corpus.clips()[:20]:
        data = clip.path.read_bytes()
        got = in_pieces(data, [100] * (len(data) // 100))
        expected = soundfile.read(clip.path, dtype="float32")
        assert abs(len(got) - len(expected[0]) * 48_000 // expected[1]) <= 48


def test_damage_is_named() -> None:
    data = recording()
    first = data.index(b"OggS", 4)
    second = data.index(b"OggS", first + 4)
    third = data.index(b"OggS", second + 4)
    fourth = data.index(b"OggS", third + 4)
    again = data[second:third]
    for broken, words in (
        (data[:third] + data[fourth:], "missing or came twice: page 4 follows page 2"),
        (data[:third] + again + data[third:], "came twice: page 2 follows page 2"),
        (data[: third + 100] + b"\0\0\0" + data[third + 103 :], "page 3 of the Ogg stream is damaged"),
        (b"RIFF" + data[4:], "begin with 'OggS'"),
        (data[first:], "one Opus stream and nothing else"),
        (data[:4] + b"\1" + data[5:], "version 0"),
        (sealed(data.replace(b"OpusHead", b"OpusHand")), "OpusHead"),
        (sealed(data.replace(b"OpusTags", b"OpusTogs")), "comments"),
        (sealed(data.replace(b"OpusHead\1\1", b"OpusHead\1\7")), "one or two channels"),
        (data[:third] + data[: second + 40], "one Opus stream|more came"),
        (data + data, "more came"),
    ):
        with pytest.raises(AudioError, match=words):
            in_pieces(broken, [])
    with pytest.raises(AudioError, match="is cut"):
        in_pieces(data[: len(data) - 10], [])


def test_random_damage_gives_samples_or_a_named_error() -> None:
    data, rng = bytearray(recording(1.0)), np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 6))):
            broken[place] = int(rng.integers(256))
        try:
            whole = sealed(bytes(broken)) if rng.random() < 0.8 else bytes(broken)
            assert len(in_pieces(whole, [700] * (len(data) // 700))) <= 10 * 48_000
        except AudioError:
            continue


def test_a_few_bytes_cannot_stand_for_hours() -> None:
    data = recording(1.0)
    begin = data.index(b"OggS", data.index(b"OggS", 4) + 4)
    serial = struct.unpack_from("<I", data, 14)[0]
    packet = bytes([0b0001_1011, 2])  # two frames of 60 ms, of nothing
    page = ogg_opus._PAGE.pack(b"OggS", 0, 0, 0, serial, 2, 0, 255) + bytes([2] * 255) + packet * 255
    with pytest.raises(AudioError, match="at most 20 s of audio"):
        OpusStream().push(data[:begin] + sealed(page) * 20)


def test_a_stream_joined_while_it_is_on_begins_with_the_first_page_that_is_there() -> None:
    data = recording()
    starts = [place for place in range(len(data)) if data.startswith(b"OggS", place)]
    joined = OpusStream().push(data[: starts[2]] + data[starts[4] :])
    assert 0 < len(joined) < 2 * 48_000


def test_without_pyav_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert not ogg_opus.opus_available()
    with pytest.raises(MissingDependencyError, match=r"streaming-wavlm\[opus\]"):
        OpusStream()
