"""A WebSocket client that is nothing but a socket: what a library would do for it, it does not do."""

from __future__ import annotations

import base64
import os
import select
import socket
import struct
import time

from streaming_wavlm.protocol import PATH, Hello


class RawClient:
    """A connection that has said hello, and reads nothing unless it is told to.

    Args:
        port: of the server, on the loopback.
        hello: what to say.
        room: bytes that the system keeps for it.
    """

    def __init__(self, port: int, hello: Hello, room: int = 16_384) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {PATH} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self.socket.sendall("\r\n".join((*request, "", "")).encode())
        assert self.socket.recv(12).endswith(b"101")
        self.send(hello.text().encode(), opcode=1)

    def send(self, data: bytes, opcode: int = 2) -> None:
        """Send a message, masked with zeros."""
        length = len(data)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 65_536:
            head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", length)
        self.socket.sendall(head + bytes(4) + data)

    def ended(self, seconds: float) -> bool:
        """Wait until the system says that the connection has ended; nothing is read for it."""
        poll = select.poll()
        poll.register(self.socket, 0)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(50)):
                return True
        return False
