"""Who may connect: the origin of a page, and a bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from ..errors import ConfigError
from .origins import host_of, is_loopback, normal_origin

# What may be given as an origin and is none: any, and that of pages without one.
_WORDS = ("*", "null")
# A page cannot set headers on a WebSocket: it names its token as a subprotocol.
TOKEN_PROTOCOL = "bearer."  # noqa: S105 - a prefix


@dataclass(frozen=True)
class Access:
    """What a connection must show.

    Attributes:
        token: a bearer token, in the ``Authorization`` header or as the subprotocol ``bearer.TOKEN``; none
            is asked for when None.
        origins: origins beside the server's own whose pages may connect; ``"*"`` for any.
        host: where the server listens. What listens for this machine alone takes a page for its own only
            under a name of this machine or of ``origins``: any other name that leads here may be an
            attacker's (DNS rebinding).

    Raises:
        ConfigError: an origin is none.
    """

    token: str | None = None
    origins: Sequence[str] = ()
    host: str | None = None

    def __post_init__(self) -> None:
        origins = []
        for given in self.origins:
            origin = given if given in _WORDS else normal_origin(given)
            if origin is None:
                raise ConfigError(
                    f"an origin is a scheme, a host and perhaps a port, such as https://app.example, or * "
                    f"for any; got {given!r:.100}"
                )
            origins.append(origin)
        object.__setattr__(self, "origins", tuple(origins))

    def refusal(self, connection: HTTPConnection) -> tuple[int, str] | None:
        """Return the HTTP status and a sentence for a connection that may not be, or None if it may."""
        origin = connection.headers.get("origin")
        if origin is not None and not self._may(origin, connection.headers.get("host", "")):
            return 403, f"pages of {origin[:100]} may not connect; the server is started with --origin for it"
        if self.token is not None and not self._knows(connection):
            return (
                401,
                "a bearer token is needed: Authorization: Bearer TOKEN, or the subprotocol bearer.TOKEN",
            )
        return None

    def subprotocol(self, connection: HTTPConnection) -> str | None:
        """Return the subprotocol to agree to: a browser closes a connection that agrees to none of its."""
        return next((name for name in _subprotocols(connection) if name.startswith(TOKEN_PROTOCOL)), None)

    def _may(self, origin: str, host: str) -> bool:
        if "*" in self.origins or origin in self.origins:
            return True
        normal = normal_origin(origin)
        if normal is None:
            return False
        own = normal_origin(f"{normal.partition(':')[0]}://{host}")
        return normal in self.origins or (normal == own and self._is_mine(host_of(normal)))

    def _is_mine(self, name: str) -> bool:
        if self.host is None or not is_loopback(self.host):
            return True
        return is_loopback(name) or name in map(host_of, self.origins)

    def _knows(self, connection: HTTPConnection) -> bool:
        given = [
            name.removeprefix(TOKEN_PROTOCOL)
            for name in _subprotocols(connection)
            if name.startswith(TOKEN_PROTOCOL)
        ]
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(token.strip())
        expected = (self.token or "").encode()
        return any(hmac.compare_digest(one.encode(), expected) for one in given)


def _subprotocols(connection: HTTPConnection) -> list[str]:
    return [name.strip() for name in connection.headers.get("sec-websocket-protocol", "").split(",")]
