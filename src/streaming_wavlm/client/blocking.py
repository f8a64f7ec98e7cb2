"""A client for programs without an event loop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

import numpy.typing as npt

from ..errors import ServerError
from ..protocol import Hello
from .conversation import Conversation, Event
from .dialling import (
    GOODBYE_SECONDS,
    Endpoint,
    closed,
    connection_errors,
    ended,
    failures,
    is_final,
    refused,
    stream_url,
    websockets,
)
from .parting import hang_up, say_goodbye


class Client:
    """A stream on a live server; a context manager.

    Audio may be sent from one thread while another receives.

    Args:
        url: of the server, such as ``http://127.0.0.1:8765``.
        hello: what is sent and wanted; its fields can be given as keywords instead.
        token: bearer token, where the server wants one.
        retries: attempts to connect again after a lost connection, with pauses from 0.1 s on.
        timeout: seconds that connecting, or waiting for a reply, may take.
        **fields: of :class:`~streaming_wavlm.protocol.Hello`.

    Raises:
        ServerError: there is no server, or it refused.
    """

    def __init__(
        self,
        url: str,
        hello: Hello | None = None,
        *,
        token: str | None = None,
        retries: int = 5,
        timeout: float = 10.0,
        **fields: Any,
    ) -> None:
        self._server = Endpoint(stream_url(url), token, retries, timeout)
        self._talk = Conversation(hello or Hello(**fields))
        self._arrived: deque[Event] = deque()
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._lost: ServerError | None = None
        self._socket = self._dial()

    @property
    def ready(self) -> dict[str, Any]:
        """What the server said when the stream was opened: latency, layers, width, limits."""
        return self._talk.ready

    def send(self, samples: npt.NDArray[Any]) -> None:
        """Send audio of any length at the rate of the hello.

        Args:
            samples: mono ``[samples]``, floating point in [-1, 1] or int16.

        Raises:
            ServerError: the connection is lost for good.
            ProtocolError: the audio is something else.
        """
        with self._lock:
            for part in self._talk.audio(samples):
                self._say(part)

    def send_encoded(self, data: bytes) -> None:
        """Send bytes of an Ogg/Opus stream, cut anywhere; the hello has ``encoding="ogg-opus"``.

        Raises:
            ServerError: the connection is lost for good.
        """
        with self._lock:
            for part in self._talk.encoded(data):
                self._say(part)

    def flush(self) -> None:
        """End the stream: the rest of its features come, then an ``end`` message; then another begins.

        Raises:
            ServerError: the connection is lost for good.
        """
        with self._lock:
            self._say(self._talk.flush())

    def reset(self) -> None:
        """Drop the stream and begin another.

        Raises:
            ServerError: the connection is lost for good.
        """
        with self._lock:
            self._say(self._talk.reset())

    def receive(self, timeout: float | None = None) -> Event | None:
        """Return the next features or message; None if nothing came in time.

        Args:
            timeout: seconds to wait; without end when None.

        Raises:
            ServerError: the server ended the stream, or the connection is lost for good.
            ProtocolError: the server said something that is no message.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._arrived:
                return self._arrived.popleft()
            left = None if until is None else max(0.0, until - time.monotonic())
            socket = self._socket
            try:
                data = socket.recv(timeout=left)
            except TimeoutError:
                return None
            except connection_errors() as error:
                with self._lock:
                    if socket is self._socket:
                        self._again(error)
                continue
            event = self._talk.take(data)
            if event is not None:
                return event

    def until_end(self) -> Iterator[Event]:
        """Yield features and messages up to the ``end`` message of the stream that was flushed."""
        while True:
            event = self.receive()
            if event is not None:
                yield event
            if isinstance(event, dict) and event["type"] == "end":
                return

    def close(self) -> None:
        """Say good-bye; the server forgets the stream. A thread that sends or receives gets a ServerError."""
        self._closed.set()
        # Whoever sends to a server that does not read cannot be waited for.
        if self._lock.acquire(timeout=GOODBYE_SECONDS):
            try:
                say_goodbye(self._socket)
            finally:
                self._lock.release()
        else:
            hang_up(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, data: bytes | str) -> None:
        try:
            self._socket.send(data)
        except connection_errors() as error:
            self._again(error)  # says it, too

    def _again(self, error: Exception) -> None:
        """Connect once more and go on."""
        why = self._lost or ended(error) or self._retried(error)
        if why is not None:
            self._lost = why
            raise ServerError(str(why)) from error

    def _retried(self, error: Exception) -> ServerError | None:
        """Return why the connection could not be had again; None if it could."""
        why: Exception = error
        for pause in self._server.pauses():
            if self._closed.wait(pause):
                break
            hang_up(self._socket)
            try:
                self._socket = self._dial()
                for data in self._talk.again():
                    self._socket.send(data)
            except failures() as failed:
                # An attempt that got no answer may hold the stream until the server has seen that it is over.
                if is_final(failed) and (why is error or is_final(why)):
                    why = failed
                    break
                why = failed
                continue
            if not self._closed.is_set():
                return None
            say_goodbye(self._socket)
        return closed() if self._closed.is_set() else self._server.lost(error, why)

    def _dial(self) -> Any:
        try:
            # Entered and never left: leaving would say good-bye to a stream that is to be gone on with.
            socket = contextlib.ExitStack().enter_context(
                websockets().sync.client.connect(self._server.url, **self._server.options)
            )
        except connection_errors() as error:
            raise refused(self._server.url, error) from error
        try:
            socket.send(self._talk.hello())
            self._server.require_ready(self._talk.take(socket.recv(timeout=self._server.timeout)))
        except BaseException as error:
            hang_up(socket)  # the answer may be under way, and with it the stream
            if isinstance(error, connection_errors()):
                raise refused(self._server.url, error) from error
            raise
        return socket
