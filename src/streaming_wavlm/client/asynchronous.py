"""A client for programs with an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
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
from .parting import hang_up_async, say_goodbye_async


class AsyncClient:
    """A stream on a live server; an asynchronous context manager, which connects.

    One task may send while another receives.

    Args:
        url: of the server, such as ``http://127.0.0.1:8765``.
        hello: what is sent and wanted; its fields can be given as keywords instead.
        token: bearer token, where the server wants one.
        retries: attempts to connect again after a lost connection, with pauses from 0.1 s on.
        timeout: seconds that connecting, or waiting for a reply, may take.
        **fields: of :class:`~streaming_wavlm.protocol.Hello`.
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
        self._lock = asyncio.Lock()
        self._closed = asyncio.Event()
        self._lost: ServerError | None = None
        self._way_back: asyncio.Task[None] | None = None
        self._socket: Any = None

    @property
    def ready(self) -> dict[str, Any]:
        """What the server said when the stream was opened: latency, layers, width, limits."""
        return self._talk.ready

    async def __aenter__(self) -> Self:
        self._socket = await self._dial()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, samples: npt.NDArray[Any]) -> None:
        """Send audio of any length at the rate of the hello.

        Args:
            samples: mono ``[samples]``, floating point in [-1, 1] or int16.

        Raises:
            ServerError: the connection is lost for good.
            ProtocolError: the audio is something else.
        """
        await self._say(self._talk.audio(samples))

    async def send_encoded(self, data: bytes) -> None:
        """Send bytes of an Ogg/Opus stream, cut anywhere; the hello has ``encoding="ogg-opus"``.

        Raises:
            ServerError: the connection is lost for good.
        """
        await self._say(self._talk.encoded(data))

    async def flush(self) -> None:
        """End the stream: the rest of its features come, then an ``end`` message; then another begins.

        Raises:
            ServerError: the connection is lost for good.
        """
        await self._say(_once(self._talk.flush))

    async def reset(self) -> None:
        """Drop the stream and begin another.

        Raises:
            ServerError: the connection is lost for good.
        """
        await self._say(_once(self._talk.reset))

    async def receive(self) -> Event:
        """Return the next features or message.

        Raises:
            ServerError: the server ended the stream, or the connection is lost for good.
            ProtocolError: the server said something that is no message.
        """
        while True:
            socket = self._socket
            try:
                data = await socket.recv()
            except connection_errors() as error:
                if socket is self._socket:
                    await self._again(error)
                continue
            event = self._talk.take(data)
            if event is not None:
                return event

    async def until_end(self) -> AsyncIterator[Event]:
        """Yield features and messages up to the ``end`` message of the stream that was flushed."""
        while True:
            event = await self.receive()
            yield event
            if isinstance(event, dict) and event["type"] == "end":
                return

    async def close(self) -> None:
        """Say good-bye; the server forgets the stream. A task that sends or receives gets a ServerError."""
        self._closed.set()
        if self._way_back is not None:  # it sees that nobody wants it
            await asyncio.wait([self._way_back], timeout=GOODBYE_SECONDS)
        if self._socket is not None:
            await say_goodbye_async(self._socket)

    async def _say(self, messages: Iterator[bytes | str]) -> None:
        """Say messages, each of which is made, and kept for another connection, when its turn has come."""
        async with self._lock:
            while True:
                # What is made while another connection is being told of the rest would be told to neither.
                if self._way_back is not None:
                    await asyncio.shield(self._way_back)
                data = next(messages, None)
                if data is None:
                    return
                socket = self._socket
                try:
                    await socket.send(data)
                except connection_errors() as error:
                    if socket is self._socket:
                        await self._again(error)  # says it, too

    async def _again(self, error: Exception) -> None:
        """Connect once more and go on, in a task of its own: whoever waits for it may give up waiting."""
        if self._way_back is None:
            self._way_back = asyncio.create_task(self._go_back(error))
        await asyncio.shield(self._way_back)
        if self._lost is not None:
            raise ServerError(str(self._lost)) from error

    async def _go_back(self, error: Exception) -> None:
        try:
            self._lost = self._lost or ended(error) or await self._retried(error)
        finally:
            self._way_back = None

    async def _retried(self, error: Exception) -> ServerError | None:
        """Return why the connection could not be had again; None if it could."""
        why: Exception = error
        for pause in self._server.pauses():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)
                break
            hang_up_async(self._socket)
            try:
                self._socket = await self._dial()
                for data in self._talk.again():
                    await self._socket.send(data)
            except failures() as failed:
                # An attempt that got no answer may hold the stream until the server has seen that it is over.
                if is_final(failed) and (why is error or is_final(why)):
                    why = failed
                    break
                why = failed
                continue
            if not self._closed.is_set():
                return None
            await say_goodbye_async(self._socket)
        return closed() if self._closed.is_set() else self._server.lost(error, why)

    async def _dial(self) -> Any:
        try:
            socket = await websockets().asyncio.client.connect(self._server.url, **self._server.options)
        except connection_errors() as error:
            raise refused(self._server.url, error) from error
        try:
            await socket.send(self._talk.hello())
            async with asyncio.timeout(self._server.timeout):
                event = self._talk.take(await socket.recv())
            self._server.require_ready(event)
        except BaseException as error:
            hang_up_async(socket)  # the answer may be under way, and with it the stream
            if isinstance(error, connection_errors()):
                raise refused(self._server.url, error) from error
            raise
        return socket


def _once(make: Callable[[], str]) -> Iterator[str]:
    yield make()
