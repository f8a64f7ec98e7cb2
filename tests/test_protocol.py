"""The live protocol: whatever comes in is read or refused with a sentence, and what goes out comes back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.errors import ProtocolError
from streaming_wavlm.protocol import (
    HEADER_BYTES,
    MAX_TEXT,
    Features,
    Hello,
    is_finite,
    message,
    parse,
    parse_hello,
    samples_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(Hello.__dataclass_fields__)) | st.text(max_size=8)


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)),
    dtype=st.sampled_from([np.float32, np.float16]),
    stream=st.integers(0, 2**32 - 1),
    position=st.integers(0, 2**63),
    compute=st.integers(0, 2**40),
    pooled=st.just(0) | st.integers(1, 2**32 - 1),
)
def test_features_come_back_as_they_were(shape, dtype, stream, position, compute, pooled) -> None:
    rows = 1 if pooled else shape[1]
    array = np.random.default_rng(0).standard_normal((shape[0], rows, shape[2])).astype(dtype)
    data = Features(array, stream, position, compute, pooled).pack()
    back = Features.unpack(data)
    assert back.pooled == pooled
    assert back.frames == (pooled or rows)
    assert len(data) == HEADER_BYTES + array.nbytes
    assert (back.stream, back.position) == (stream, position)
    assert back.compute_us == min(compute, 2**32 - 1)
    assert back.array.dtype == dtype
    assert np.array_equal(back.array, array)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_features_are_refused(data) -> None:
    with pytest.raises(ProtocolError, match=r"header|begin with"):
        Features.unpack(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_a_header_that_promises_more_than_there_is_is_refused(dim, layers, frames) -> None:
    good = Features(np.zeros((1, 2, 3), np.float32), 0, 0).pack()
    lying = bytearray(good)
    lying[6:8], lying[8:12], lying[12:16] = (
        layers.to_bytes(2, "little"), dim.to_bytes(4, "little"), frames.to_bytes(4, "little"),
    )  # fmt: skip
    if layers * dim * frames == 6:
        return
    assert Features.unpack(bytes(good)).pooled == 0
    with pytest.raises(ProtocolError, match="the header speaks of"):
        Features.unpack(bytes(lying))


@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_any_text_is_a_message_or_refused(text) -> None:
    try:
        values = parse(text)
    except ProtocolError:
        return
    assert isinstance(values["type"], str)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_of_json_is_no_message(number) -> None:
    with pytest.raises(ProtocolError, match=f"JSON has no {number}"):
        parse(f'{{"type": "ping", "time": {number}}}')


@pytest.mark.parametrize(
    ("value", "finite"),
    [(1, True), (-0.5, True), (1e999, False), (10**400, False), (True, False), ("1", False)],
)
def test_a_number_of_a_message_is_finite(value, finite) -> None:
    assert is_finite(value) is finite


def test_a_text_that_is_too_long_is_not_even_read() -> None:
    with pytest.raises(ProtocolError, match=f"at most {MAX_TEXT} characters"):
        parse("[" * 10_000_000)


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_any_hello_is_understood_or_refused(fields) -> None:
    try:
        hello = parse_hello({"type": "hello", "protocol": 1, **fields})
    except ProtocolError:
        return
    assert parse_hello(json.loads(hello.text())) == hello


@given(
    st.builds(
        Hello,
        sample_rate=st.integers(4000, 192_000),
        encoding=st.sampled_from(["pcm16", "float32"]),
        chunk_ms=st.none() | st.integers(1, 10_000),
        layers=st.none() | st.lists(st.integers(-12, 12), min_size=1, max_size=5).map(tuple),
        weights=st.none() | st.lists(st.floats(-10, 10), min_size=1, max_size=5).map(tuple),
        pool=st.sampled_from([None, "mean"]),
        dtype=st.sampled_from(["float32", "float16"]),
        token=st.none() | st.text("abc", min_size=1, max_size=9),
        received=st.integers(0, 2**50),
    )
)
def test_a_hello_comes_back_as_it_was(hello) -> None:
    assert parse_hello(parse(hello.text())) == hello


@given(st.binary(max_size=64), st.sampled_from(["pcm16", "float32"]))
def test_audio_is_finite_samples_or_refused(data, encoding) -> None:
    try:
        samples = samples_of(data, encoding)
    except ProtocolError:
        return
    assert np.isfinite(samples).all()
    assert len(samples) * (2 if encoding == "pcm16" else 4) == len(data)


def test_loud_and_broken_audio_is_refused_and_full_scale_is_not() -> None:
    for value in (np.nan, np.inf, -np.inf, 1e30):
        with pytest.raises(ProtocolError, match="NaN, infinity or values far outside"):
            samples_of(np.float32([0, value]).tobytes(), "float32")
    full = samples_of(np.int16([-32768, 32767]).tobytes(), "pcm16")
    assert full.tolist() == [-1.0, 32767 / 32768]


def test_values_that_are_none_are_not_said() -> None:
    assert json.loads(message("ready", token=None, stream=0)) == {"type": "ready", "stream": 0}
