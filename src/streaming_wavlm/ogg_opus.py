"""Ogg/Opus as it arrives: pages out of bytes cut anywhere, samples out of pages; everything bounded.

The container is taken apart here, for FFmpeg's reader wants to wait for more where a stream has to say "not
yet"; the packets are decoded by FFmpeg, through PyAV.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import AudioError, MissingDependencyError

OPUS_RATE = 48_000
# Audio that one push may bring: a few bytes of an Opus packet may stand for 120 ms.
MOST_SECONDS = 20.0
_MOST_HEADER = 2**20  # comments may hold a picture
_MOST_PACKET = 61_440
_PAGE = struct.Struct("<4sBBqIIIB")
_CHECKSUM = 22  # where it lies in the header
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CONTINUED, _FIRST, _LAST = 1, 2, 4
# Samples of a frame at 48 kHz, by the configuration in a packet's first byte.
_FRAMES = (*(480, 960, 1920, 2880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)


@dataclass(frozen=True)
class Page:
    """A page of an Ogg stream.

    Attributes:
        flags: whether it continues a packet, is the first, is the last.
        granule: samples at 48 kHz up to the end of the last packet that ends on it; -1 if none does.
        serial: of the logical stream.
        sequence: its number in that stream.
        pieces: parts of packets, and whether each ends its packet.
    """

    flags: int
    granule: int
    serial: int
    sequence: int
    pieces: tuple[tuple[bytes, bool], ...]


class Pages:
    """Takes bytes cut anywhere and gives whole pages."""

    def __init__(self) -> None:
        self._left = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a page that is not whole yet."""
        return len(self._left)

    def push(self, data: bytes) -> Iterator[Page]:
        """Take bytes and yield the pages that are whole.

        Raises:
            AudioError: it is no Ogg, or a page is damaged.
        """
        self._left += data
        while True:
            head = bytes(self._left[:4])
            if head != b"OggS"[: len(head)]:
                raise AudioError(
                    f"Ogg pages begin with 'OggS', got {head!r}; is it Ogg, from its first byte?"
                )
            if len(self._left) < _PAGE.size:
                return
            _, version, flags, granule, serial, sequence, checksum, count = _PAGE.unpack_from(self._left)
            if version:
                raise AudioError(f"Ogg pages have version 0, got {version}")
            begin = _PAGE.size + count
            lengths = self._left[_PAGE.size : begin]
            end = begin + sum(lengths)
            if len(lengths) < count or len(self._left) < end:
                return
            if page_checksum(bytes(self._left[:end])) != checksum:
                raise AudioError(
                    f"page {sequence} of the Ogg stream is damaged: its checksum does not fit it"
                )
            body = bytes(self._left[begin:end])
            del self._left[:end]
            yield Page(flags, granule, serial, sequence, tuple(_pieces(lengths, body)))


class OpusStream:
    """Takes an Ogg/Opus stream in packets of any size and gives its samples, mono at 48 kHz.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(self) -> None:
        self._av = _av()
        self._pages = Pages()
        self._serial: int | None = None
        self._sequence: int | None = None  # of the last page
        self._packet = bytearray()
        self._headers = 0
        self._decoder: Any = None
        self._skip = 0  # samples that come before the sound
        self._samples = 0  # that the packets stand for, with those
        self._origin: int | None = None  # of the granules: a recording may begin in mid-stream
        self._over = False

    def push(self, data: bytes) -> npt.NDArray[np.float32]:
        """Take bytes and return the samples that they complete.

        Raises:
            AudioError: it is no Ogg/Opus, is damaged, or brings more than ``MOST_SECONDS``.
        """
        parts: list[npt.NDArray[np.float32]] = []
        room = round(MOST_SECONDS * OPUS_RATE)
        for page in self._pages.push(data):
            part = self._page(page, room)
            room -= len(part)
            parts.append(part)
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def finish(self) -> None:
        """End the stream.

        Raises:
            AudioError: it is cut within a page or a packet.
        """
        if self._pages.waiting or self._packet:
            raise AudioError("the Ogg stream is cut: it ends within a page; send all of it before the end")

    def _page(self, page: Page, room: int) -> npt.NDArray[np.float32]:
        if self._over:
            raise AudioError("the Ogg stream has ended and more came; end the stream before another begins")
        if self._serial is None and page.flags & _FIRST:
            self._serial = page.serial
        if page.serial != self._serial or (page.flags & _FIRST and self._headers):
            raise AudioError("the Ogg stream must hold one Opus stream and nothing else, from its beginning")
        self._follow(page)
        if bool(page.flags & _CONTINUED) != bool(self._packet):
            raise AudioError("a page of the Ogg stream is missing: a packet does not go on where it should")
        decoded: list[npt.NDArray[np.float32]] = []
        for piece, ends in page.pieces:
            self._packet += piece
            most = _MOST_HEADER if self._headers < 2 else _MOST_PACKET
            if len(self._packet) > most:
                raise AudioError(f"a packet of the Ogg stream has more than {most} bytes")
            if ends:
                packet, self._packet = bytes(self._packet), bytearray()
                decoded += self._take(packet, room - sum(map(len, decoded)))
        samples = np.concatenate([np.zeros(0, np.float32), *decoded])
        return self._trimmed(page, samples)

    def _follow(self, page: Page) -> None:
        """Require the page after the last; whoever joins a broadcast gets its headers, then what is on."""
        expected = page.sequence if self._sequence is None else (self._sequence + 1) % 2**32
        joined = self._headers == 2 and not self._samples
        if page.sequence != expected and not joined:
            raise AudioError(
                f"pages of the Ogg stream are missing or came twice: page {page.sequence} follows page "
                f"{self._sequence}; send every page once, in order"
            )
        self._sequence = page.sequence

    def _take(self, packet: bytes, room: int) -> list[npt.NDArray[np.float32]]:
        self._headers += 1
        if self._headers == 1:
            self._begin(packet)
            return []
        if self._headers == 2:
            if not packet.startswith(b"OpusTags"):
                raise AudioError("the second packet of an Opus stream holds its comments, this one does not")
            return []
        length = _length(packet)
        self._samples += length
        if length > room:
            raise AudioError(
                f"at most {MOST_SECONDS:g} s of audio may come in one message; send smaller ones"
            )
        try:
            frames = self._decoder.decode(self._av.Packet(packet))
        except self._av.FFmpegError as error:
            raise AudioError(f"a packet of the Opus stream is damaged: {error}") from error
        return [_mono(frame) for frame in frames]

    def _begin(self, head: bytes) -> None:
        if len(head) < 19 or not head.startswith(b"OpusHead") or head[8] >= 16:
            raise AudioError(
                "the first packet of an Opus stream is OpusHead; this is Ogg with something else"
            )
        channels, mapping = head[9], head[18]
        if mapping or channels not in (1, 2):
            raise AudioError(f"Opus streams of one or two channels are taken, got {channels} ({mapping=})")
        self._skip = int.from_bytes(head[10:12], "little")
        decoder = self._av.CodecContext.create("opus", "r")
        decoder.extradata = head
        decoder.sample_rate = OPUS_RATE
        decoder.layout = "mono" if channels == 1 else "stereo"
        self._decoder = decoder

    def _trimmed(self, page: Page, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Leave out what comes before the sound, and after it on the last page."""
        # Whether the decoder has left out some of what comes before the sound is its own affair.
        before = self._samples - len(samples)
        self._over = bool(page.flags & _LAST)
        if self._origin is None and len(samples) and page.granule >= 0:
            self._origin = 0 if self._over else max(0, page.granule - self._samples)
        begin = max(0, self._skip - before)
        end = len(samples)
        if self._over and page.granule >= 0:
            end = min(end, page.granule - (self._origin or 0) - before)
        return samples[begin : max(begin, end)]


def page_checksum(page: bytes) -> int:
    """Return the checksum that the header of an Ogg page must have; the one that is there does not count."""
    plain = page[:_CHECKSUM] + bytes(4) + page[_CHECKSUM + 4 :]
    # zlib has the same polynomial, with the bits of every byte the other way round, and turns them all over.
    mirrored = zlib.crc32(plain.translate(_MIRROR), 2**32 - 1) ^ (2**32 - 1)
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRROR), "big")


def opus_available() -> bool:
    """Tell whether Ogg/Opus can be decoded here."""
    try:
        _av()
    except MissingDependencyError:
        return False
    return True


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            'decoding Ogg/Opus needs PyAV: pip install "streaming-wavlm[opus]"'
        ) from error
    return av


def _pieces(lengths: bytes | bytearray, body: bytes) -> Iterator[tuple[bytes, bool]]:
    """The parts of packets on a page: a segment shorter than 255 bytes is the last of its packet."""
    begin = end = 0
    for length in lengths:
        end += length
        if length < 255:
            yield body[begin:end], True
            begin = end
    if end > begin:
        yield body[begin:end], False


def _length(packet: bytes) -> int:
    """Samples that a packet stands for, at 48 kHz."""
    if not packet:
        return 0
    code = packet[0] & 3
    count = 1 if code == 0 else 2 if code < 3 else (packet[1] & 63 if len(packet) > 1 else 0)
    return count * _FRAMES[packet[0] >> 3]


def _mono(frame: Any) -> npt.NDArray[np.float32]:
    samples = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / np.float32(32768)
    mixed: npt.NDArray[np.float32] = samples.astype(np.float32).mean(axis=0, dtype=np.float32)
    return mixed
