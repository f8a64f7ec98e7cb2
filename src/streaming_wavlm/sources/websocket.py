"""Raw audio from a WebSocket that somebody else serves."""

from __future__ import annotations

import threading

from ..client.dialling import connection_errors, headers, websockets
from ..errors import AudioError
from ..protocol import Encoding
from .pcm import WholeSamples, checked_rate
from .source import Put

_POLL_SECONDS = 0.2
_MESSAGE_BYTES = 2**24


class WebSocketAudio:
    """The binary messages of a WebSocket, taken for mono audio; its text messages are passed over.

    Whoever sends is made to wait by TCP when the model is slower.

    Args:
        url: beginning with ``ws://`` or ``wss://``.
        sample_rate: in Hz.
        encoding: of a sample.
        token: bearer token to show.

    Raises:
        AudioError: the rate is none.
        MissingDependencyError: websockets is not installed.
    """

    waits = True
    endless = True

    def __init__(
        self, url: str, sample_rate: int = 16_000, encoding: Encoding = "pcm16", token: str | None = None
    ) -> None:
        websockets()
        self.name = url
        self.sample_rate = checked_rate(sample_rate)
        self._headers = headers(token)
        self._samples = WholeSamples(encoding)

    def run(self, put: Put, stopped: threading.Event) -> None:
        """Receive until either side ends it.

        Raises:
            AudioError: there is no connection, it is lost, or the messages are no raw audio.
            ProtocolError: a sample is NaN, infinite or far out of range.
        """
        library = websockets()
        try:
            with library.sync.client.connect(
                self.name, additional_headers=self._headers, max_size=_MESSAGE_BYTES
            ) as socket:
                while not stopped.is_set():
                    try:
                        data = socket.recv(timeout=_POLL_SECONDS)
                    except TimeoutError:
                        continue
                    if isinstance(data, bytes):
                        put(self._samples.take(data))
        except library.exceptions.ConnectionClosedOK:
            return
        except connection_errors() as error:
            raise AudioError(f"no audio comes from {self.name}: {error}") from error
