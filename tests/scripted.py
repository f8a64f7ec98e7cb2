"""A server that says what a test wants it to say, for clients."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from streaming_wavlm.protocol import Features, message

# Serves one connection; its hello has been read.
Script = Callable[[ServerConnection, dict[str, Any]], None]

DIM = 16


@contextlib.contextmanager
def scripted(*scripts: Script, **options: Any) -> Iterator[str]:
    """The address of a server that serves the first connection by the first script, and so on."""
    failures: list[BaseException] = []
    handlers: list[threading.Thread] = []
    served = iter(scripts)

    def handler(socket: ServerConnection) -> None:
        handlers.append(threading.current_thread())
        try:
            next(served)(socket, json.loads(socket.recv(timeout=30)))
        except ConnectionClosed:  # what a client does when its test has failed or is over
            pass
        except BaseException as error:
            failures.append(error)
            raise

    with serve(handler, "127.0.0.1", 0, **{"close_timeout": 1, **options}) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            for one in (thread, *handlers):
                one.join(60)
    assert not failures


def ready(**values: Any) -> str:
    """What a server answers a hello with."""
    standard = {
        "protocol": 1, "token": "t", "stream": 0, "position": 0, "samples": 0, "chunk_ms": 80, "frame_ms": 20,
        "latency_ms": 80, "layers": [0], "dim": DIM, "dtype": "float32", "packet_bytes": 2**20,
    }  # fmt: skip
    return message("ready", **{**standard, **values})


def features(position: int, frames: int = 4, stream: int = 0) -> bytes:
    """Features whose values are the numbers of their frames."""
    numbers = np.arange(position, position + frames, dtype=np.float32)
    return Features(np.repeat(numbers[None, :, None], DIM, axis=2), stream, position).pack()


def said(socket: ServerConnection) -> dict[str, Any]:
    """The next text message of the client; audio before it is passed over."""
    while True:
        data = socket.recv(timeout=30)
        if isinstance(data, str):
            return dict(json.loads(data))


def fail(socket: ServerConnection, code: int, reason: str, resumable: bool = False) -> None:
    """End a connection as a server does."""
    socket.send(message("error", code=code, reason=reason, resumable=resumable))
    socket.close(code, reason)
