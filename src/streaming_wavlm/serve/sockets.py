"""What happens on a connection below the application: it has to begin in time, and it really ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# What is looked at before others have their turn, in bytes and in seconds: a read may hold 40 000 messages.
_PIECE = 2048
_TURN_SECONDS = 0.005
# Fragments of one message; those without a byte count for no other limit.
_MOST_FRAGMENTS = 500
# From the end of a conversation to the end of its connection.
_LINGER_SECONDS = 2.0


def http_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP, but a connection that does not get on with a request is closed.

    uvicorn waits without end for a first request and for the rest of any, and such connections count for no
    limit.

    Args:
        seconds: that a connection has for its first request, and for each from its first byte on.
    """

    class _Punctual(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._deadline: asyncio.TimerHandle | None = None
            self._set_deadline()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._set_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._lift_deadline()
            super().connection_lost(exc)

        def _waits(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _set_deadline(self) -> None:
            if not self._waits():
                self._lift_deadline()
            elif self._deadline is None:
                self._deadline = asyncio.get_running_loop().call_later(seconds, self._require_request)

        def _lift_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _require_request(self) -> None:
            # A WebSocket's connection has changed hands by now.
            if self._waits() and self.transport.get_protocol() is self:
                self.transport.abort()

    return _Punctual


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, but a connection that has ended is over, read or not, and a refusal is no error."""

    def connection_made(self, transport: Any) -> None:
        """Begin.

        Args:
            transport: of the connection.
        """
        self._pieces: deque[bytes] = deque()  # read, and not yet looked at
        self._turn: asyncio.Handle | None = None
        super().connection_made(transport)

    async def run_asgi(self) -> None:
        """Run the application, and see to it that the connection ends after it."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(_LINGER_SECONDS, self._cut)

    async def send(self, message: Any) -> None:
        """Take a message of the application.

        Args:
            message: of ASGI.
        """
        if message["type"] == "websocket.send" and self.transport.is_closing() and not self.disconnected:
            # Nobody hears it any more; asyncio would warn of each. The news of the end is under way.
            await asyncio.sleep(0)
            return
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # The handshake ended with a refusal; uvicorn would log an error that it never ended.
            self.handshake_complete = True
        self._go_on()  # to the answer to a close

    async def receive(self) -> Any:
        """Return the next message for the application."""
        received = await super().receive()
        self._go_on()
        return received

    def data_received(self, data: bytes) -> None:
        """Take bytes: whoever sends some is alive.

        Args:
            data: of the connection.
        """
        self._heard = self.loop.time()
        self._pieces.extend(data[begin : begin + _PIECE] for begin in range(0, len(data), _PIECE))
        if self._turn is None:
            self._look()

    def _look(self) -> None:
        """Look at what was read: until there is a message for the application, and not for long."""
        self._turn = None
        until = self.loop.time() + _TURN_SECONDS
        while self._pieces and not self.read_paused and self.loop.time() < until:
            super().data_received(self._pieces.popleft())
            if self.transport.is_closing():
                self._pieces.clear()
                return
        if not self._pieces and not self.read_paused:
            self.transport.resume_reading()
        self._go_on()

    def _go_on(self) -> None:
        """Look at the rest when the others had their turn, and read nothing more before."""
        if self._pieces and not self.read_paused and not self.transport.is_closing():
            self.transport.pause_reading()
            if self._turn is None:
                self._turn = self.loop.call_soon(self._look)

    def handle_cont(self, event: Any) -> None:
        """Take a fragment of a message.

        Args:
            event: its frame.
        """
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.frames.clear()
            self.conn.fail(1009, f"a message has at most {_MOST_FRAGMENTS} fragments")
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer pings, but not a client that does not read: its answers would pile up without bound."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set() or self.conn.close_sent is not None:
            self.transport.write(answer)

    def keepalive_timeout(self) -> None:
        """End a connection that did not answer a ping, unless the answer waits behind audio.

        A client that sends faster than the model computes has seconds of audio under way, and what it answers
        comes after them.
        """
        wait = self.ping_timeout or 0.0
        if self.read_paused or self.loop.time() - self._heard < wait:
            self.pong_timer = self.loop.call_later(wait, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    def _cut(self) -> None:
        """End the connection for the system, too.

        Aborting alone drops what is left here and closes the socket; the system then keeps what it has not
        delivered, and the end behind it, for as long as the client's window is shut. Without lingering, the
        end is a reset: it passes the data by, and the memory is free at once.
        """
        if self.disconnected:
            return
        line = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it has ended by itself
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
