"""A client's side of the protocol without its socket: what to say, and what to say again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ProtocolError, ServerError
from ..protocol import MAX_SERVER_TEXT, OGG_OPUS, SAMPLE_TYPES, Features, Hello, message, parse

# The features of a stream, or a message: a dict with a "type".
Event = Features | dict[str, Any]

# The server's resampler and last frame hold so much back; audio of that age is kept for another second.
_HELD_BACK_SECONDS = 1.5
_HOP, _RATE = 320, 16_000
# Of a second of Opus at the highest bit rate that speech needs.
_OPUS_BYTES = 16_000
# In a message.
_OPUS_PART = 4096
_OGG_PAGE = b"OggS"


@dataclass
class _Outgoing:
    """Audio of one stream that the server may not have.

    Attributes:
        begin: the first sample that is kept.
        packets: its samples from there on.
        flushed: whether the stream was ended.
    """

    begin: int = 0
    packets: deque[bytes] = field(default_factory=deque)
    flushed: bool = False


class Conversation:
    """Keeps what is needed to go on after a lost connection; one thread may say while another takes.

    Args:
        hello: what is sent and wanted.
        keep_seconds: audio that is kept until its features are here; a connection that is lost for longer
            cannot be gone on with.
    """

    def __init__(self, hello: Hello, keep_seconds: float = 120.0) -> None:
        self._hello = hello
        # What the server counts of a stream: samples, or bytes of one that is compressed.
        self._compressed = hello.encoding == OGG_OPUS
        self._sample_bytes = 1 if self._compressed else SAMPLE_TYPES[hello.encoding].itemsize
        self._keep = int(keep_seconds * (_OPUS_BYTES if self._compressed else hello.sample_rate))
        self._sending = 0
        self._outgoing: dict[int, _Outgoing] = {0: _Outgoing()}
        self.ready: dict[str, Any] = {}
        # What arrives next: the number of the stream and the frame.
        self.stream = 0
        self.position = 0
        # Up to which stream and frame each head was heard.
        self._heard: dict[str, tuple[int, int]] = {}
        # Held for a moment only, and not while a message is under way.
        self._lock = threading.Lock()

    def hello(self) -> str:
        """Return the first message of a connection: a beginning, or the wish to go on."""
        token = self.ready.get("token")
        if token is None:
            return self._hello.text()
        with self._lock:
            return replace(self._hello, token=token, stream=self.stream, received=self.position).text()

    def audio(self, samples: npt.NDArray[Any]) -> Iterator[bytes]:
        """Yield messages for audio, in parts that any server takes.

        Args:
            samples: mono ``[samples]`` of any number, floating point in [-1, 1] or 16-bit integers.

        Raises:
            ProtocolError: it is something else.
        """
        if self._compressed:
            raise ProtocolError("the hello speaks of Ogg/Opus: its bytes are sent with send_encoded")
        if samples.ndim != 1 or (samples.dtype != np.int16 and samples.dtype.kind != "f"):
            raise ProtocolError(
                f"audio is mono [samples], floating point or int16, got {samples.dtype} {list(samples.shape)}"
            )
        part = self._part // self._sample_bytes
        for begin in range(0, len(samples), part):
            yield self._kept(_encoded(samples[begin : begin + part], self._hello.encoding))

    def encoded(self, data: bytes) -> Iterator[bytes]:
        """Yield messages for bytes of an Ogg/Opus stream.

        Raises:
            ProtocolError: the hello speaks of samples.
        """
        if not self._compressed:
            raise ProtocolError(f"the hello speaks of {self._hello.encoding}: samples are sent with send")
        for part in self._parts(data):
            yield self._kept(part)

    @property
    def _part(self) -> int:
        """Bytes of samples in a message that any server takes."""
        most = int(self.ready.get("packet_bytes", 2**16)) // 2
        return max(1, most // self._sample_bytes) * self._sample_bytes

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """Yield what a server has to be told as messages that it takes."""
        begin = 0
        while begin < len(data):
            end = begin + (_OPUS_PART if self._compressed else self._part)
            if self._compressed:
                # Few bytes may stand for much silence: no message brings more than one page.
                page = data.find(_OGG_PAGE, begin + 1, end)
                end = page if page > 0 else end
            yield data[begin:end]
            begin = end

    def _kept(self, data: bytes) -> bytes:
        with self._lock:
            outgoing = self._outgoing[self._sending]
            outgoing.packets.append(data)
            while len(outgoing.packets) > 1 and self._length(outgoing) > self._keep:
                outgoing.begin += len(outgoing.packets.popleft()) // self._sample_bytes
        return data

    def flush(self) -> str:
        """Return the message that ends a stream; what follows is another's."""
        with self._lock:
            ended = self._sending
            self._outgoing[ended].flushed = True
            self._next()
        return message("flush", stream=ended)

    def reset(self) -> str:
        """Return the message that drops a stream; what follows is another's."""
        with self._lock:
            self._outgoing.clear()
            self._next()
            self.stream, self.position = self._sending, 0
        return message("reset")

    def take(self, data: bytes | str) -> Event | None:
        """Take a message of the server; None if it says nothing new of the stream that is wanted.

        Raises:
            ProtocolError: it is not what a server says.
            ServerError: it ends the conversation.
        """
        if isinstance(data, bytes):
            features = Features.unpack(data)
            with self._lock:
                return features if self._is_due(features) else None
        values = parse(data, MAX_SERVER_TEXT)
        if values["type"] == "ready":
            self.ready = values
        elif values["type"] == "error":
            if values.get("resumable") is True:  # the connection ends, and the stream goes on over another
                return None
            raise ServerError(f"the server ended the stream: {values.get('reason')} ({values.get('code')})")
        with self._lock:
            if values["type"] == "end" and not self._has_ended(values.get("stream")):
                return None
            if values["type"] == "head" and not self._is_news(values):
                return None
        return values

    def _is_due(self, features: Features) -> bool:
        """Whether features are the next, which they are then no more."""
        if (features.stream, features.position) != (self.stream, self.position):
            if (features.stream, features.position + features.frames) <= (self.stream, self.position):
                return False
            raise ProtocolError(
                f"frame {self.position} of stream {self.stream} is due, got frame {features.position} of "
                f"stream {features.stream}"
            )
        self.position += features.frames
        self._forget()
        return True

    def _has_ended(self, number: Any) -> bool:
        """Whether an end is that of the stream whose features are due; the next one's are then."""
        ended = self._outgoing.get(self.stream)
        # An older server, told twice of a flush, also ends a stream that nobody has ended.
        if number != self.stream or ended is None or not ended.flushed:
            return False
        del self._outgoing[self.stream]
        self.stream, self.position = self.stream + 1, 0
        return True

    def again(self) -> Iterator[bytes | str]:
        """Yield what the server, by its last ``ready``, has not got.

        Raises:
            ServerError: it wants audio that is no longer kept.
        """
        at, taken = int(self.ready["stream"]), int(self.ready["samples"])
        with self._lock:
            numbers = [number for number in sorted(self._outgoing) if number >= at]
            rests = [self._rest(number, taken if number == at else 0) for number in numbers]
        for number, (data, flushed) in zip(numbers, rests, strict=True):
            yield from self._parts(data)
            # A server that is ending the stream has its flush, and would end another with a second.
            if flushed and not (number == at and self.ready.get("ending")):
                yield message("flush", stream=number)

    def _rest(self, number: int, taken: int) -> tuple[bytes, bool]:
        """Return what a server has not got of a stream, and whether it was ended."""
        outgoing = self._outgoing[number]
        missing = taken - outgoing.begin
        if missing < 0:
            raise ServerError("the connection was lost for too long: its audio is no longer kept")
        return b"".join(outgoing.packets)[missing * self._sample_bytes :], outgoing.flushed

    def _is_news(self, said: dict[str, Any]) -> bool:
        """Whether what a head said was not heard before the connection was lost, or dropped by a reset."""
        place, name = (said.get("stream", 0), said.get("position", 0)), str(said.get("name"))
        if place[0] != self.stream or place <= self._heard.get(name, (-1, 0)):
            return False
        self._heard[name] = place
        return True

    def _next(self) -> None:
        self._sending += 1
        self._outgoing[self._sending] = _Outgoing()

    def _length(self, outgoing: _Outgoing) -> int:
        return sum(map(len, outgoing.packets)) // self._sample_bytes

    def _forget(self) -> None:
        """Drop audio whose features are here, or on their way for sure."""
        if self._compressed:  # nobody knows which bytes a frame came from
            return
        rate = self._hello.sample_rate
        safe = self.position * _HOP * rate // _RATE - int(_HELD_BACK_SECONDS * rate)
        outgoing = self._outgoing.get(self.stream)
        while outgoing is not None and outgoing.packets:
            length = len(outgoing.packets[0]) // self._sample_bytes
            if outgoing.begin + length > safe:
                return
            outgoing.begin += length
            outgoing.packets.popleft()


def _encoded(samples: npt.NDArray[Any], encoding: str) -> bytes:
    dtype = SAMPLE_TYPES[encoding]
    if encoding == "pcm16":
        if samples.dtype != np.int16:
            samples = np.clip(np.round(samples * 32768.0), -32768, 32767)
        return samples.astype(dtype).tobytes()
    if samples.dtype == np.int16:
        samples = samples / np.float32(32768)
    return samples.astype(dtype).tobytes()
