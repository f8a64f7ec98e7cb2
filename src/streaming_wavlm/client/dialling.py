"""What both clients need to reach a server."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import MissingDependencyError, ServerError
from ..protocol import PATH, CloseCode

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
# A good-bye that is not answered by then has been said all the same.
GOODBYE_SECONDS = 2.0
# A server does not go on with a stream that it closed like this; what other codes mean it says when asked.
_FINAL = (
    CloseCode.GOING_AWAY,
    CloseCode.BAD_MESSAGE,
    CloseCode.GONE,
    CloseCode.TOO_LARGE,
    CloseCode.TOO_LONG,
)


@dataclass(frozen=True)
class Endpoint:
    """A server, and how patiently it is called.

    Attributes:
        url: of its streams.
        token: bearer token.
        retries: attempts to connect again after a lost connection.
        timeout: seconds that connecting, or waiting for a reply, may take.
    """

    url: str
    token: str | None
    retries: int
    timeout: float

    @property
    def options(self) -> dict[str, Any]:
        """What both of the library's clients take to connect."""
        return {
            "additional_headers": headers(self.token),
            "open_timeout": self.timeout,
            "close_timeout": GOODBYE_SECONDS,
            "max_size": None,
            "compression": None,
        }

    def pauses(self) -> list[float]:
        """Return the seconds to wait before each attempt."""
        return [0.1 * 2**attempt for attempt in range(self.retries)]

    def require_ready(self, event: Any) -> None:
        """Require that the answer to a hello was a ``ready``.

        Raises:
            ServerError: it was not.
        """
        if not isinstance(event, dict) or event["type"] != "ready":
            raise ServerError(f"{self.url} answered a hello with something else; is it a live server?")

    def lost(self, first: Exception, why: Exception) -> ServerError:
        """Return an error that says that nothing helped.

        Args:
            first: how the connection was lost.
            why: what came of the last attempt to have it again.
        """
        closed = _close_frame(first)
        before = "" if closed is None or why is first else f"; before that the server had closed it: {closed}"
        return ServerError(f"the connection to {self.url} is lost: {why}{before}")


def is_final(error: Exception) -> bool:
    """Tell whether the server itself said no: another attempt would not change that."""
    return isinstance(error, ServerError) and error.__cause__ is None


def ended(error: Exception) -> ServerError | None:
    """Return what the server said when it closed a connection for good; None if its stream may go on.

    Args:
        error: what sending or receiving raised.
    """
    code = getattr(getattr(error, "rcvd", None), "code", None)
    return ServerError(f"the server ended the stream: {_close_frame(error)}") if code in _FINAL else None


def closed() -> ServerError:
    """Return an error that says that the program itself left."""
    return ServerError("the client was closed; make another to go on")


def _close_frame(error: Exception) -> str | None:
    """Return reason and code of a server's close frame, if one came."""
    said = getattr(error, "rcvd", None)
    return None if said is None else f"{said.reason or 'no reason was given'} ({said.code})"


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


def failures() -> tuple[type[Exception], ...]:
    """Return what may come of connecting again."""
    return (ServerError, *connection_errors())


def stream_url(url: str) -> str:
    """Return where a server's streams are.

    Args:
        url: of the server, with or without scheme and path.

    Raises:
        ServerError: it is no address of a server.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or a port beyond 65535
        known = False
    if not known or any(sign.isspace() for sign in url):
        raise ServerError(
            f"a server's address is like http://127.0.0.1:8765, with a port from 1 to 65535, got {url!r}; "
            "give the one that the server said at its start"
        )
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
