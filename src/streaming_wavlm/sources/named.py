"""A source by its name."""

from __future__ import annotations

from pathlib import Path

from ..errors import AudioError
from ..protocol import Encoding
from .source import Source

_RAW_RATE = 16_000


def open_source(
    name: str,
    *,
    sample_rate: int | None = None,
    encoding: Encoding = "pcm16",
    realtime: bool = False,
    token: str | None = None,
) -> Source:
    """Return a source that is not yet running.

    Args:
        name: a file, ``-`` for standard input, ``mic`` or ``mic:DEVICE``, or the ``ws://`` address of raw
            audio.
        sample_rate: of raw audio (16 kHz when None) or of a microphone (its own when None), in Hz.
        encoding: of raw audio.
        realtime: play a file at its own speed.
        token: bearer token for a WebSocket.

    Raises:
        AudioError: there is no such source, or an option does not fit it.
        MissingDependencyError: it needs a library that is not installed.
    """
    # Each source is imported when it is asked for: the libraries behind some are optional.
    kind, _, rest = name.partition(":")
    if kind in ("http", "https") and rest.startswith("//"):
        raise AudioError(
            f"{name} is no source of audio; to have a server compute, give it as --server {name}"
        )
    microphone = kind == "mic"
    socket = kind in ("ws", "wss") and rest.startswith("//")
    if realtime and (microphone or socket or name == "-"):
        raise AudioError(f"--realtime is for files: {name!r} has its own speed")
    if microphone:
        from .microphone import Microphone

        return Microphone(rest or None, sample_rate)
    if socket:
        from .websocket import WebSocketAudio

        return WebSocketAudio(name, sample_rate or _RAW_RATE, encoding, token)
    if name == "-":
        from .pipe import Pipe

        return Pipe(0, sample_rate or _RAW_RATE, encoding)
    if sample_rate is not None:
        raise AudioError(f"--rate is for raw audio and microphones: {name} states its own")
    from .recording import Recording

    return Recording(Path(name), realtime)
