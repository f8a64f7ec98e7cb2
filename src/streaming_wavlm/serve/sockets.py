"""What happens on a connection below the application: it has to begin in time, and it really ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# From the end of a conversation to the end of its connection.
_LINGER_SECONDS = 2.0


def http_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP, but a connection that asks for nothing is closed.

    uvicorn waits for a first request without end; connections that never make one count for no limit.

    Args:
        seconds: that a connection has for its first request.
    """

    class _Punctual(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            asyncio.get_running_loop().call_later(seconds, self._require_request, transport)

        def _require_request(self, transport: Any) -> None:
            # A WebSocket's connection has changed hands by now.
            if self.cycle is None and transport.get_protocol() is self:
                transport.abort()

    return _Punctual


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, but a connection that has ended is over, read or not, and a refusal is no error."""

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
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # The handshake ended with a refusal; uvicorn would log an error that it never ended.
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        """Take bytes: whoever sends some is alive.

        Args:
            data: of the connection.
        """
        self._heard = self.loop.time()
        super().data_received(data)

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
