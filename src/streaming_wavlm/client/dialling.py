"""What both clients need to reach a server."""

from __future__ import annotations

import importlib
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import MissingDependencyError, ServerError
from ..protocol import PATH

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def websockets() -> Any:
    """Return the library, with both its clients.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        importlib.import_module("websockets.sync.client")
        importlib.import_module("websockets.asyncio.client")
    except ImportError as error:
        raise MissingDependencyError(
            'the client needs websockets: pip install "streaming-wavlm[live]"'
        ) from error
    return importlib.import_module("websockets")


def connection_errors() -> tuple[type[Exception], ...]:
    """Return what the library raises when a connection cannot be had, or is lost."""
    exceptions = websockets().exceptions
    return (OSError, TimeoutError, exceptions.WebSocketException)


def stream_url(url: str) -> str:
    """Return where a server's streams are.

    Args:
        url: of the server, with or without scheme and path.

    Raises:
        ServerError: it is no address of a server.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ServerError(f"a server's address is like http://127.0.0.1:8765, got {url!r}")
    path = parts.path if parts.path not in ("", "/") else PATH
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def headers(token: str | None) -> dict[str, str]:
    """Return the headers that show a bearer token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def refused(url: str, error: Exception) -> ServerError:
    """Return an error that repeats what the server said when it refused."""
    response = getattr(error, "response", None)
    said = getattr(response, "body", b"") or b""
    why = said.decode(errors="replace").strip() or str(error) or type(error).__name__
    return ServerError(f"no stream could be opened at {url}: {why}")
