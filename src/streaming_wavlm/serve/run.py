"""Running a service on a port until it is told to stop."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from ..errors import ServerError
from .access import Access
from .app import build_app
from .service import Service
from .sockets import WebSocketProtocol, http_protocol

# Beside the time that draining may take: for the last close frames.
_GRACE_SECONDS = 3
# Room for what is not the client's: the library counts whole frames.
_SLACK = 1024


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        host: an interface; other machines reach only what is not the loopback.
        port: 0 for a free one.
        certificate: PEM file, for TLS.
        key: PEM file of its private key.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    certificate: Path | None = None
    key: Path | None = None


class Server(uvicorn.Server):
    """A server that lets its streams finish what they have begun.

    Args:
        config: uvicorn's.
        service: what is served.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the streams, then end the server; a second Ctrl-C ends the draining."""
        await self._service.drain(lambda: self.force_exit)
        # Hurried, uvicorn would leave the application's end to the loop's, which cancels it with a traceback.
        self.force_exit = False
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()


def build_server(service: Service, address: Address, access: Access | None = None) -> Server:
    """Return a server that is not yet running.

    Args:
        service: what it serves.
        address: where it listens.
        access: who may connect.

    Raises:
        ServerError: a file of TLS is missing, or is none.
    """
    for path in (address.certificate, address.key):
        if path is not None and not path.is_file():
            raise ServerError(f"there is no file {path}; --certificate and --key take PEM files")
    if (address.certificate is None) != (address.key is None):
        raise ServerError("TLS needs both --certificate and --key")
    if address.certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                address.certificate, address.key
            )
        except OSError as error:
            raise ServerError(
                f"{address.certificate} and {address.key} are no PEM certificate and its key ({error})"
            ) from error
    config = uvicorn.Config(
        build_app(service, replace(access or Access(), host=address.host)),
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        http=http_protocol(service.limits.hello_seconds),
        ws=WebSocketProtocol,
        ws_max_size=service.limits.packet_bytes + _SLACK,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=False,  # features hardly shrink, and a small message could grow without bound
        timeout_graceful_shutdown=_GRACE_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return Server(config, service)


def serve(
    service: Service,
    address: Address,
    access: Access | None = None,
    started: Callable[[str], Any] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain.

    Args:
        service: what is served.
        address: where.
        access: who may connect.
        started: told the server's address once it listens.

    Raises:
        ServerError: the address cannot be had.
    """
    server = build_server(service, address, access)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen()  # from now on connections wait, though nobody serves them yet
    except OSError as error:
        listener.close()
        raise ServerError(
            f"{address.host}:{address.port} cannot be listened on ({error}); give another --host or --port"
        ) from error
    scheme = "https" if address.certificate else "http"
    host = f"[{address.host}]" if family == socket.AF_INET6 else address.host
    started(f"{scheme}://{host}:{listener.getsockname()[1]}")
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        service.shut_down()


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs that read logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        values = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values)
