"""What a live server and its clients say to each other, version 1: messages in and out of bytes, no sockets.

Text messages are JSON objects with a ``type``. A client says ``hello`` first; its binary messages are audio.
The server's binary messages are features: a header of 32 bytes, then [layers, frames, dim], or their mean
over the frames, [layers, 1, dim], all in little-endian order.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import ProtocolError

VERSION = 1
PATH = "/v1/stream"

Encoding = Literal["pcm16", "float32", "ogg-opus"]
# What a message of samples holds; the other encoding is a stream of bytes.
SAMPLE_TYPES: dict[str, np.dtype[Any]] = {"pcm16": np.dtype("<i2"), "float32": np.dtype("<f4")}
OGG_OPUS: Encoding = "ogg-opus"
ENCODINGS = (*SAMPLE_TYPES, OGG_OPUS)
FeatureType = Literal["float32", "float16"]
Pool = Literal["mean"]
POOLS: tuple[str, ...] = ("mean",)
# The number of each type in a header.
FEATURE_TYPES: dict[str, int] = {"float32": 0, "float16": 1}
_NUMPY_TYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}

MIN_RATE, MAX_RATE = 4000, 192_000
MAX_TEXT = 16_384
# What a server says of ten seconds may be longer.
MAX_SERVER_TEXT = 2**20
# An exact JSON number of any client.
MAX_INTEGER = 2**53 - 1
# The largest number of a stream that the header of features holds.
MAX_STREAM = 2**32 - 1

_MAGIC = b"SWF1"
# magic, type, pooled or not, layers, dim, frames, stream, position of the first frame, microseconds of work
_HEADER = struct.Struct("<4sBBHIIIQI")
HEADER_BYTES = _HEADER.size


class CloseCode(IntEnum):
    """Why a server closed a connection, beside the codes of RFC 6455."""

    NORMAL = 1000
    GOING_AWAY = 1001
    INTERNAL = 1011
    BAD_MESSAGE = 4400
    IDLE = 4408
    GONE = 4410
    TOO_LARGE = 4413
    TOO_LONG = 4414
    SLOW = 4429


@dataclass(frozen=True)
class Hello:
    """The first message of a client: what it sends and what it wants.

    Attributes:
        sample_rate: of the audio, in Hz.
        encoding: ``"pcm16"`` or ``"float32"`` in [-1, 1], little-endian samples, mono; or ``"ogg-opus"``, the
            bytes of an Ogg/Opus stream, which says its rate itself.
        chunk_ms: one of the chunk sizes that the server offers; its own choice when None.
        layers: which hidden states to send, from 0 or from -1, the last; the last one when None.
        weights: one number per layer asked for: their weighted sum is sent as the only layer.
        pool: ``"mean"`` for one vector per layer and chunk, the mean over its frames; all frames when None.
        dtype: of the features.
        heads: names of heads whose outputs are sent as well; none when None.
        token: of a stream that lost its connection, to go on with it.
        stream: with a token, the number of the stream that ``received`` is about.
        received: with a token, the first frame of that stream that has not been received.
    """

    sample_rate: int = 16_000
    encoding: Encoding = "pcm16"
    chunk_ms: int | None = None
    layers: tuple[int, ...] | None = None
    weights: tuple[float, ...] | None = None
    pool: Pool | None = None
    dtype: FeatureType = "float32"
    heads: tuple[str, ...] | None = None
    token: str | None = None
    stream: int = 0
    received: int = 0

    def text(self) -> str:
        """Return the message."""
        return message("hello", protocol=VERSION, **asdict(self))


@dataclass(frozen=True)
class Features:
    """A binary message of the server.

    Attributes:
        array: ``[layers, frames, dim]``, float32 or float16; pooled, ``[layers, 1, dim]``.
        stream: which of the connection's streams, from 0; flush and reset begin another.
        position: the place of the first frame in its stream.
        compute_us: microseconds from the moment the audio was complete to the moment its features were.
        pooled: how many frames the one row is the mean of; 0 where the rows are the frames.
    """

    array: npt.NDArray[Any]
    stream: int
    position: int
    compute_us: int = 0
    pooled: int = 0

    @property
    def frames(self) -> int:
        """Number of frames that the message is about."""
        return self.pooled or self.array.shape[1]

    def pack(self) -> bytes:
        """Return the message."""
        layers, _, dim = self.array.shape
        name = self.array.dtype.newbyteorder("=").name
        header = _HEADER.pack(
            _MAGIC, FEATURE_TYPES[name], bool(self.pooled), layers, dim, self.frames, self.stream,
            self.position, min(self.compute_us, 2**32 - 1),
        )  # fmt: skip
        return header + np.ascontiguousarray(self.array, dtype=_NUMPY_TYPES[name]).tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> Features:
        """Read the message.

        Raises:
            ProtocolError: it is cut short, or none of this version's.
        """
        if len(data) < HEADER_BYTES:
            raise ProtocolError(f"features begin with {HEADER_BYTES} bytes of header, got {len(data)} bytes")
        magic, kind, pooled, layers, dim, frames, stream, position, compute_us = _HEADER.unpack_from(data)
        names = [name for name, number in FEATURE_TYPES.items() if number == kind]
        if magic != _MAGIC or not names or pooled > 1:
            raise ProtocolError(f"features begin with {_MAGIC!r} and known types, got {data[:6]!r}")
        dtype = _NUMPY_TYPES[names[0]]
        rows = 1 if pooled else frames
        expected = HEADER_BYTES + layers * dim * rows * dtype.itemsize
        if len(data) != expected:
            raise ProtocolError(f"the header speaks of {expected} bytes, the message has {len(data)}")
        array = np.frombuffer(data, dtype, offset=HEADER_BYTES).reshape(layers, rows, dim)
        return cls(array, stream, position, compute_us, frames if pooled else 0)


def message(kind: str, /, **values: Any) -> str:
    """Return a text message; values that are None are left out."""
    return json.dumps({"type": kind, **{name: value for name, value in values.items() if value is not None}})


def parse(text: str, most: int = MAX_TEXT) -> dict[str, Any]:
    """Read a text message.

    Args:
        text: the message.
        most: characters that it may have.

    Raises:
        ProtocolError: it is no JSON object with a ``type``, or too long.
    """
    if len(text) > most:
        raise ProtocolError(f"a text message has at most {most} characters, got {len(text)}")
    try:
        values = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a text message is a JSON object, got {text[:60]!r} ({error})") from error
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        raise ProtocolError(f"a text message is a JSON object with a type, got {text[:60]!r}")
    return values


def parse_hello(values: Mapping[str, Any]) -> Hello:
    """Read a ``hello``.

    Raises:
        ProtocolError: it is another message, of another version, or a field is unknown or not allowed.
    """
    if values.get("type") != "hello":
        raise ProtocolError(f"the first message is a hello, got {str(values.get('type'))[:40]!r}")
    if values.get("protocol") != VERSION:
        raise ProtocolError(
            f"this server speaks protocol {VERSION}, got {values.get('protocol')!r:.40}; "
            f"a hello has protocol: {VERSION}"
        )
    known = {field.name for field in fields(Hello)}
    unknown = sorted(set(values) - known - {"type", "protocol"})
    if unknown:
        raise ProtocolError(f"a hello has no field {unknown[0][:40]!r}; there are {', '.join(sorted(known))}")
    given = {name: value for name, value in values.items() if name in known and value is not None}
    _check(
        given, "sample_rate", _integer(MIN_RATE, MAX_RATE), f"a whole number of Hz, {MIN_RATE} to {MAX_RATE}"
    )
    _check(given, "encoding", lambda v: isinstance(v, str) and v in ENCODINGS, " or ".join(ENCODINGS))
    _check(given, "dtype", lambda v: isinstance(v, str) and v in FEATURE_TYPES, " or ".join(FEATURE_TYPES))
    _check(given, "pool", lambda v: isinstance(v, str) and v in POOLS, " or ".join(POOLS))
    _check(given, "chunk_ms", _integer(1, MAX_INTEGER), "a chunk size in milliseconds")
    _check(given, "received", _integer(0, MAX_INTEGER), "a whole number of frames")
    _check(given, "stream", _integer(0, MAX_STREAM), "the number of a stream")
    _check(given, "token", lambda v: isinstance(v, str) and 0 < len(v) <= 128, "the token of a ready message")
    _check(given, "layers", _list_of(_integer(-1024, 1024)), "a list of layer numbers")
    _check(given, "heads", _list_of(_name), "a list of names of heads")
    _check(given, "weights", _list_of(_finite), "a list of numbers, one per layer")
    for name in ("layers", "weights", "heads"):
        if name in given:
            given[name] = tuple(given[name])
    return Hello(**given)


def stream_number(values: Mapping[str, Any]) -> int | None:
    """Return which stream a message is about, or None if it does not say.

    Raises:
        ProtocolError: it says something else than a number.
    """
    given = {name: value for name, value in values.items() if name == "stream" and value is not None}
    _check(given, "stream", _integer(0, MAX_STREAM), "the number of a stream")
    return given.get("stream")


def samples_of(data: bytes, encoding: Encoding) -> npt.NDArray[np.float32]:
    """Return the samples of a binary message of a client, float32 ``[samples]``.

    Raises:
        ProtocolError: the bytes are no whole samples, or a sample is NaN, infinite or far out of range.
    """
    dtype = SAMPLE_TYPES[encoding]
    if len(data) % dtype.itemsize:
        raise ProtocolError(
            f"{encoding} audio has {dtype.itemsize} bytes a sample, got {len(data)} bytes in a message"
        )
    samples = np.frombuffer(data, dtype)
    if encoding == "pcm16":
        return samples.astype(np.float32) / np.float32(32768)
    # Beyond this, squares overflow on the way through the model.
    if len(samples) and not float(np.abs(samples).max()) <= 1e6:
        raise ProtocolError("the audio holds NaN, infinity or values far outside [-1, 1]; it was not taken")
    return samples.astype(np.float32)


def _no_number(constant: str) -> float:
    raise ValueError(f"JSON has no {constant}")


def is_finite(value: Any) -> bool:
    """Return whether a value of a message is a number that JSON can hold."""
    # Compared, for a whole number may be too large for a float, and 1e999 is read as infinity.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check(given: Mapping[str, Any], name: str, allowed: Any, words: str) -> None:
    if name in given and not allowed(given[name]):
        raise ProtocolError(f"{name} must be {words}, got {given[name]!r:.60}")


def _integer(low: int, high: int) -> Any:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e6


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64


def _list_of(allowed: Any) -> Any:
    return lambda value: (
        isinstance(value, list) and 0 < len(value) <= 256 and all(allowed(item) for item in value)
    )
