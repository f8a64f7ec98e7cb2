"""The ASGI application: the page, the stream, health and metrics.

Starlette and uvicorn, because one port then serves the page, the WebSocket, health checks and metrics, and
because a connection can be refused with an HTTP status before it is a WebSocket.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from ..protocol import PATH
from .access import Access
from .connection import Connection
from .metrics import CONTENT_TYPE
from .service import Service

PAGE = Path(__file__).parent / "page"


def build_app(service: Service, access: Access | None = None) -> Starlette:
    """Return the application of a service.

    Args:
        service: what it serves; its model ends with the application.
        access: who may connect.
    """
    access = access or Access()

    async def stream(websocket: WebSocket) -> None:
        refusal = access.refusal(websocket) or _full(service)
        if refusal is not None:
            status, sentence = refusal
            service.metrics.refused.labels(str(status)).inc()
            headers = {"retry-after": "5"} if status == 503 else None
            await websocket.send_denial_response(PlainTextResponse(sentence + "\n", status, headers))
            return
        connection = Connection(service, websocket)
        with service.admitted(connection):
            await websocket.accept(access.subprotocol(websocket))
            await connection.serve()

    async def health(_: Request) -> Response:
        values = {**service.health(), "token": access.token is not None}
        return JSONResponse(values, 503 if service.draining else 200)

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            service.shut_down()

    return Starlette(
        routes=[
            WebSocketRoute(PATH, stream),
            Route("/healthz", health),
            Route("/metrics", metrics),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        lifespan=lifespan,
    )


def _full(service: Service) -> tuple[int, str] | None:
    if service.draining:
        return 503, "the server is stopping; connect to another, or later"
    if service.connections >= service.limits.streams:
        return 503, f"all {service.limits.streams} streams of this server are taken; try again later"
    return None
