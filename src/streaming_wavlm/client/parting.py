"""The two ways in which a client leaves a connection: with a good-bye, and as if it had been lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import threading
from typing import Any

from .dialling import GOODBYE_SECONDS, connection_errors


def say_goodbye(socket: Any) -> None:
    """Close a connection of the waiting client; the server forgets its stream."""
    # What is on the way, and nobody wants, stands before the server's answer.
    threading.Thread(target=_read_on, args=(socket,), name="parting", daemon=True).start()
    socket.close()


def hang_up(socket: Any) -> None:
    """Cut a connection of the waiting client without a word: the server keeps its stream."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sockets.SHUT_RDWR)  # a thread that sends would hold up the rest
    socket.close_socket()


async def say_goodbye_async(socket: Any) -> None:
    """Close a connection of the asynchronous client; the server forgets its stream."""
    reading = asyncio.create_task(_read_on_async(socket))
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await socket.close()
    except TimeoutError:  # the good-bye itself finds no room
        hang_up_async(socket)
    finally:
        reading.cancel()


def hang_up_async(socket: Any) -> None:
    """Cut a connection of the asynchronous client without a word: the server keeps its stream."""
    socket.transport.abort()


def _read_on(socket: Any) -> None:
    # If somebody else reads, too, what is on the way goes there.
    with contextlib.suppress(*connection_errors()):
        while True:
            socket.recv()


async def _read_on_async(socket: Any) -> None:
    with contextlib.suppress(*connection_errors()):
        while True:
            await socket.recv()
