"""One WebSocket: what its client sends goes to its stream, what the stream gives goes to the client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..errors import ProtocolError
from ..protocol import CloseCode, Hello, is_finite, message, parse, parse_hello, stream_number
from .alerts import Alerts
from .service import Service, StreamEndError, model_failed
from .stream import LiveStream, Payload, Sent

logger = logging.getLogger(__name__)

# Closing speaks to the client once more; a client that does not listen must not hold the server up.
_CLOSE_SECONDS = 1.0
# After so much work on what one client sent, the others have their turn.
_TURN_SECONDS = 0.002
# A message costs its work, however little audio is in it: it counts as so much.
_LEAST_SECONDS = 0.005


class Connection:
    """Serves one client, from its hello to its end.

    Args:
        service: opens its stream.
        websocket: accepted.
    """

    def __init__(self, service: Service, websocket: WebSocket) -> None:
        self._service = service
        self._socket = websocket
        self._limits = service.limits
        self._stream: LiveStream
        self._outbox: deque[Payload] = deque()
        self._outbox_bytes = 0
        self._woken = asyncio.Event()
        self._end: StreamEndError | None = None
        self._charged = 0.0  # for messages with less audio than they count as
        self._welcome = False  # whether it has a stream
        self._patience: asyncio.Timeout | None = None  # with a client that has not said hello

    async def serve(self) -> None:
        """Serve until either side ends it; never raises because of what a client does."""
        try:
            hello = await self._hello()
            self._stream, missed = self._service.open(hello, self)
        except (ProtocolError, StreamEndError, WebSocketDisconnect) as error:
            await self._refuse(error)
            return
        self._welcome = True
        end = StreamEndError(CloseCode.INTERNAL, "the server failed; begin anew")
        try:
            self._put(self._service.ready(self._stream))
            self.deliver(missed)
            self._service.pump(self._stream)
            end = await self._both_ways()
        finally:
            self._service.close(self._stream, self, keep=end.keep)
            await self._say_goodbye(end)

    def deliver(self, sent: Sequence[Sent]) -> None:
        """Take messages of the stream, to be sent in their order."""
        for one in sent:
            self._put(one.payload)

    def failed(self, error: Exception) -> None:
        """End the connection because the model failed on its stream."""
        self._finish(model_failed(error))

    def taken_over(self) -> None:
        """End the connection because another one goes on with its stream."""
        self._finish(StreamEndError(CloseCode.GONE, "another connection has taken this stream over"))

    def stop(self, *, finish: bool) -> None:
        """End the connection because the server stops.

        Args:
            finish: whether a stream goes on until what was taken is computed and sent.
        """
        if finish and self._welcome:
            return  # _watch ends it
        self._finish(StreamEndError(CloseCode.GOING_AWAY, "the server is stopping"))
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _hello(self) -> Hello:
        if self._end is not None:
            raise self._end
        try:
            async with asyncio.timeout(self._limits.hello_seconds) as self._patience:
                received = await self._receive()
        except TimeoutError as error:
            raise self._end or StreamEndError(
                CloseCode.IDLE, f"no hello came within {self._limits.hello_seconds:g} s"
            ) from error
        finally:
            self._patience = None
        if isinstance(received, bytes):
            raise ProtocolError("the first message is a hello, got audio")
        return parse_hello(parse(received))

    async def _both_ways(self) -> StreamEndError:
        """Read and write at the same time; return why it ended."""
        tasks = [asyncio.create_task(work()) for work in (self._read, self._write, self._watch)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if self._end is not None:
            return self._end
        for result in results:
            if isinstance(result, StreamEndError):
                return result
            if isinstance(result, ProtocolError):
                return StreamEndError(CloseCode.BAD_MESSAGE, str(result))
            if isinstance(result, WebSocketDisconnect):
                # 1000 is a good-bye; anything else may be a lost connection.
                return StreamEndError(CloseCode.NORMAL, "", keep=result.code != CloseCode.NORMAL)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                logger.error("a connection failed", exc_info=result)
                self._service.metrics.errors.labels("connection").inc()
        return StreamEndError(CloseCode.INTERNAL, "the server failed on this stream; begin anew", keep=True)

    async def _read(self) -> None:
        turn = time.monotonic()
        while True:
            await self._room()
            # Nothing here waits while there is a message.
            if time.monotonic() - turn > _TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.monotonic()
            try:
                # Not wait_for: that may lose the wish to stop when a message comes in the same moment.
                async with asyncio.timeout(self._limits.idle_seconds):
                    received = await self._receive()
            except TimeoutError as error:
                raise StreamEndError(
                    CloseCode.IDLE, f"nothing came for {self._limits.idle_seconds:g} s", keep=True
                ) from error
            if self._end is not None:
                return  # the stream may be another connection's by now
            before = self._stream.total_seconds
            if isinstance(received, bytes):
                self._take_audio(received)
            else:
                self._take_text(parse(received))
            self._charged += max(0.0, _LEAST_SECONDS - (self._stream.total_seconds - before))
            self._service.pump(self._stream)

    def _take_audio(self, data: bytes) -> None:
        before = self._stream.total_seconds
        self._stream.push(data)
        self._service.metrics.audio.inc(self._stream.total_seconds - before)
        if self._stream.seconds > self._limits.stream_seconds:
            raise StreamEndError(
                CloseCode.TOO_LONG, f"a stream has at most {self._limits.stream_seconds:g} s of audio"
            )

    def _take_text(self, values: dict[str, Any]) -> None:
        kind = values["type"]
        if kind == "flush":
            self._stream.flush(stream_number(values))
        elif kind == "reset":
            self._service.reset(self._stream)
            self._put(message("reset", stream=self._stream.stream))
        elif kind == "ping":
            sent = values.get("time")
            if isinstance(sent, float) and not is_finite(sent):
                raise ProtocolError(f"the time of a ping is a finite number, got {sent}")
            self._put(message("pong", time=sent if is_finite(sent) else None))
        else:
            raise ProtocolError(f"a client sends hello, flush, reset or ping, got {kind[:40]!r}")

    async def _room(self) -> None:
        """Wait until more audio may be taken: TCP tells the client to wait, too."""
        stream, limits = self._stream, self._limits
        while self._service.draining or stream.ending or stream.waiting_seconds > limits.buffer_seconds:
            await asyncio.sleep(0.005)
        allowed = limits.burst_seconds + limits.rate * (time.monotonic() - stream.opened)
        ahead = stream.total_seconds + self._charged - allowed
        if ahead > 0:
            await asyncio.sleep(ahead / limits.rate)

    async def _receive(self) -> bytes | str:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code") or 1006, received.get("reason"))
        data: bytes | str | None = received.get("bytes")
        if data is None:
            data = received.get("text") or ""
        if len(data) > self._limits.packet_bytes:
            raise StreamEndError(
                CloseCode.TOO_LARGE,
                f"a message has at most {self._limits.packet_bytes} bytes, got {len(data)}",
            )
        return data

    def _put(self, payload: Payload) -> None:
        self._outbox.append(payload)
        self._outbox_bytes += len(payload)
        if self._outbox_bytes > self._limits.outbox_bytes:
            self._finish(
                StreamEndError(
                    CloseCode.SLOW,
                    f"more than {self._limits.outbox_bytes} bytes of features wait to be read; read faster, "
                    "or ask for fewer layers",
                )
            )
        self._woken.set()

    async def _write(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            turn = time.monotonic()
            while self._outbox:
                payload = self._outbox[0]
                try:
                    async with asyncio.timeout(self._limits.send_seconds):
                        await self._send(payload)
                except TimeoutError as error:
                    raise StreamEndError(
                        CloseCode.SLOW,
                        f"a message was not read within {self._limits.send_seconds:g} s",
                        keep=True,
                    ) from error
                self._outbox.popleft()
                self._outbox_bytes -= len(payload)
                if time.monotonic() - turn > _TURN_SECONDS:  # sending waits for nothing while there is room
                    await asyncio.sleep(0)
                    turn = time.monotonic()

    async def _send(self, payload: Payload) -> None:
        try:
            if isinstance(payload, bytes):
                await self._socket.send_bytes(payload)
            else:
                await self._socket.send_text(payload)
        except RuntimeError as error:  # it is closed already
            raise WebSocketDisconnect(1006) from error

    async def _watch(self) -> None:
        """Tell how the stream does now and then, warn, and end it when the server stops."""
        alerts = Alerts(self._limits)
        every, told = self._limits.stats_seconds, time.monotonic()
        while self._end is None:
            await asyncio.sleep(0.05)
            for warning in alerts.due(
                waiting=self._stream.waiting_seconds,
                unread=self._outbox_bytes,
                seconds=self._stream.seconds,
                draining=self._service.draining,
            ):
                self._put(warning)
            if self._service.draining and not self._stream.busy and not self._outbox:
                raise StreamEndError(CloseCode.GOING_AWAY, "the server is stopping")
            if every and time.monotonic() - told >= every:
                told = time.monotonic()
                self._put(
                    message(
                        "stats",
                        stream=self._stream.stream,
                        position=self._stream.position,
                        waiting_seconds=round(self._stream.waiting_seconds, 3),
                        streams=self._service.open_streams,
                    )
                )

    def _finish(self, end: StreamEndError) -> None:
        self._end = self._end or end

    async def _refuse(self, error: Exception) -> None:
        """End a connection that has not become a stream."""
        if isinstance(error, StreamEndError):
            end = error
        elif isinstance(error, ProtocolError):
            end = StreamEndError(CloseCode.BAD_MESSAGE, str(error))
        else:
            return
        self._service.metrics.refused.labels(end.code.name.lower()).inc()
        await self._say_goodbye(end)

    async def _say_goodbye(self, end: StreamEndError) -> None:
        if not end.reason:
            return  # it was the client's
        self._service.metrics.closed.labels(end.code.name.lower()).inc()
        logger.info("closed a stream: %s", end.reason)
        if self._socket.client_state is not WebSocketState.CONNECTED:
            return
        text = message("error", code=int(end.code), reason=end.reason, resumable=end.keep)
        with contextlib.suppress(Exception):  # the client may be gone: that is its own affair
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.send_text(text)
        with contextlib.suppress(Exception):
            # A close frame holds 123 bytes of reason.
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._socket.close(int(end.code), end.reason.encode()[:120].decode(errors="ignore"))
