"""The server without its sockets: streams open, parked and gone on with, and the model behind them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..config import SAMPLE_RATE
from ..errors import ConfigError, ProtocolError
from ..heads import Head
from ..heads.fit import require_fit
from ..ogg_opus import opus_available
from ..protocol import ENCODINGS, OGG_OPUS, POOLS, VERSION, CloseCode, Hello, message
from ..streaming import Streaming
from .batcher import Batcher, Job, Result
from .limits import Limits
from .metrics import Metrics
from .parking import Parking
from .stream import LiveStream, Sent

logger = logging.getLogger(__name__)

# For the last messages to clients when the server stops; some of them do not listen.
_GOODBYE_SECONDS = 3.0


class StreamEndError(Exception):
    """Ends a connection.

    Args:
        code: of the close frame.
        reason: a sentence for the client.
        keep: whether the client may come back and go on.
    """

    def __init__(self, code: CloseCode, reason: str, *, keep: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.keep = keep


def model_failed(error: Exception) -> StreamEndError:
    """Return the end of a stream that the model failed on."""
    return StreamEndError(CloseCode.INTERNAL, f"the model failed on this stream: {error}")


class Listener(Protocol):
    """Where the messages of a stream go."""

    def deliver(self, sent: Sequence[Sent]) -> None:
        """Take messages for the client, in order."""

    def failed(self, error: Exception) -> None:
        """Hear that the model failed on the stream."""

    def taken_over(self) -> None:
        """Hear that another connection goes on with the stream: nothing more may be pushed to it."""


class Guest(Protocol):
    """A connection, as a server that stops sees it."""

    def stop(self, *, finish: bool) -> None:
        """End it, or only if nothing is to be finished for it."""


class Service:
    """Opens streams and moves their audio to the model and their features back; lives in one event loop.

    Args:
        models: one for each chunk size that is offered, the first being the standard one.
        limits: what is allowed.
        heads: what clients may ask for beside features, by their names.
        workers: threads that compute a batch each, side by side.
    """

    def __init__(
        self,
        models: Mapping[int, Streaming[Any]],
        limits: Limits,
        heads: Mapping[str, Head] | None = None,
        workers: int = 1,
    ) -> None:
        if not models:
            raise ConfigError("a server needs at least one chunk size to serve")
        if workers < 1:
            raise ConfigError(f"a server needs at least one worker, got {workers}")
        if workers > 1 and any(model.device.type != "cpu" for model in models.values()):
            raise ConfigError(f"workers share the cores of a CPU, a GPU has one; got workers={workers}")
        self.models = dict(models)
        self.limits = limits
        self.heads = dict(heads or {})
        self.metrics = Metrics()
        self.draining = False
        self._guests: set[Guest] = set()
        self._listeners: dict[str, Listener] = {}
        self._open: dict[str, LiveStream] = {}  # those that have a listener
        self._parked = Parking(limits, self.metrics)
        self._batcher = Batcher(
            self.models, batch=limits.batch, wait_ms=limits.wait_ms, metrics=self.metrics, workers=workers
        )
        self._batcher.company = lambda: len(self._listeners)

    @property
    def open_streams(self) -> int:
        """Streams that have a connection."""
        return len(self._listeners)

    @property
    def connections(self) -> int:
        """Connections, those that have not yet said what they want among them."""
        return len(self._guests)

    @contextlib.contextmanager
    def admitted(self, guest: Guest) -> Iterator[None]:
        """Count a connection while it lasts, from before it has said what it wants.

        Args:
            guest: the connection.
        """
        self._guests.add(guest)
        try:
            yield
        finally:
            self._guests.discard(guest)

    def open(self, hello: Hello, listener: Listener) -> tuple[LiveStream, list[Sent]]:
        """Begin a stream, or go on with one that lost its connection, or is about to.

        Args:
            hello: what the client asked for.
            listener: where its messages go.

        Returns:
            The stream, and the messages that its client has missed.

        Raises:
            ProtocolError: it asks for what is not offered.
            StreamEndError: the stream to go on with is gone.
        """
        missed: list[Sent] = []
        if hello.token is not None:
            stream, missed = self._resumed(hello)
        else:
            stream = LiveStream(hello, self._model(hello.chunk_ms), self.limits.replay_bytes, self.heads)
        self._listeners[stream.token] = listener
        self._open[stream.token] = stream
        self.metrics.streams.set(len(self._listeners))
        return stream, missed

    def close(self, stream: LiveStream, listener: Listener, *, keep: bool) -> None:
        """Let go of a stream's connection.

        Args:
            stream: the stream.
            listener: of the connection; if another has taken the stream over, nothing happens.
            keep: whether its client may come back.
        """
        if self._listeners.get(stream.token) is not listener:
            return
        del self._listeners[stream.token], self._open[stream.token]
        self.metrics.streams.set(len(self._listeners))
        if keep and not self.draining:
            self._parked.put(stream)

    def pump(self, stream: LiveStream) -> None:
        """Give the model the stream's next chunk, if one is due; the rest follows by itself."""
        if stream.token not in self._listeners:
            return
        loop = asyncio.get_running_loop()

        def done(job: Job, result: Result) -> None:
            try:
                loop.call_soon_threadsafe(self._take, stream, job, result)
            except RuntimeError:  # the loop has ended, and with it whoever wanted the result
                logger.debug("features came after the end")

        job = stream.job(done)
        if job is not None:
            self._batcher.submit(job)

    def reset(self, stream: LiveStream, number: int | None = None) -> None:
        """Drop what a stream has heard and begin the next; a step that is being computed is waited for.

        Args:
            stream: the stream.
            number: of the stream that begins; the next one when None.
        """
        job = stream.reset(number)
        if job is not None and self._batcher.cancel(job):
            stream.returned(job)

    def _take(self, stream: LiveStream, job: Job, result: Result) -> None:
        if stream.returned(job):
            self.pump(stream)
            return
        listener = self._listeners.get(stream.token)
        if result.error is not None:
            self._fail(stream, result.error)
            return
        self.metrics.latency.observe(result.seconds)
        try:
            sent = stream.take(job, result)
        except Exception as error:  # a stream that is not told would wait for ever
            logger.exception("a stream could not take its features")
            self.metrics.errors.labels("stream").inc()
            self._fail(stream, error)
            return
        self.metrics.frames.inc(result.frames)
        if listener is not None:
            listener.deliver(sent)
            self.pump(stream)

    def _fail(self, stream: LiveStream, error: Exception) -> None:
        stream.failure = error  # a client that is away hears of it when it comes back
        listener = self._listeners.get(stream.token)
        if listener is not None:
            listener.failed(error)

    def ready(self, stream: LiveStream) -> str:
        """Return the message that answers a hello."""
        config = stream.model.config
        return message(
            "ready",
            protocol=VERSION,
            token=stream.token,
            stream=stream.stream,
            position=stream.position,
            samples=stream.taken,
            ending=stream.ending or None,
            chunk_ms=config.chunk_ms,
            frame_ms=1000 * config.hop / SAMPLE_RATE,
            latency_ms=config.latency.algorithmic_ms,
            layers=list(stream.layers),
            dim=config.dim,
            dtype=stream.hello.dtype,
            pool=stream.hello.pool,
            packet_bytes=self.limits.packet_bytes,
            parked_seconds=self.limits.parked_seconds,
            heads=[_described(head) for head in stream.heads.values()] or None,
        )

    def health(self) -> dict[str, Any]:
        """Return what ``/healthz`` says."""
        return {
            "status": "draining" if self.draining else "ok",
            "protocol": VERSION,
            "streams": self.open_streams,
            "free": max(0, self.limits.streams - self.connections),
            "parked": len(self._parked),
            "chunk_ms": list(self.models),
            "num_layers": next(iter(self.models.values())).config.num_layers,
            "pools": list(POOLS),
            "encodings": [one for one in ENCODINGS if one != OGG_OPUS or opus_available()],
            "heads": [_described(head) for head in self.heads.values()],
        }

    async def drain(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Take nothing new, and end the connections: when they have got what is theirs, or after so long.

        Args:
            hurried: whether there is no time left for that.
        """
        self.draining = True
        self._parked.clear()
        for guest in list(self._guests):
            guest.stop(finish=True)
        await self._left(self.limits.drain_seconds, hurried)
        for guest in list(self._guests):
            guest.stop(finish=False)
        await self._left(_GOODBYE_SECONDS, lambda: False)

    async def _left(self, seconds: float, hurried: Callable[[], bool]) -> None:
        """Wait until there is no connection any more, or for so long."""
        until = time.monotonic() + seconds
        while self._guests and time.monotonic() < until and not hurried():
            await asyncio.sleep(0.02)

    def shut_down(self) -> None:
        """End the model's threads."""
        self._batcher.close()

    def _model(self, chunk_ms: int | None) -> Streaming[Any]:
        if chunk_ms is None:
            return next(iter(self.models.values()))
        if chunk_ms not in self.models:
            offered = ", ".join(map(str, self.models))
            raise ProtocolError(f"chunk_ms must be one of {offered}, got {chunk_ms}")
        return self.models[chunk_ms]

    def _resumed(self, hello: Hello) -> tuple[LiveStream, list[Sent]]:
        token = hello.token or ""
        # A client may notice that a connection is broken long before this side does.
        stream = self._open.get(token) or self._parked.take(token)
        if stream is None:
            raise StreamEndError(
                CloseCode.GONE,
                "no stream waits for this token: it came too late, or the stream has ended; begin anew",
            )
        if stream.failure is not None:
            raise model_failed(stream.failure)
        if hello.stream > stream.stream and hello.received == 0:
            self.reset(stream, hello.stream)  # the client began anew, and what said so was lost
        missed = stream.missed(hello.stream, hello.received)
        if missed is None:
            raise StreamEndError(
                CloseCode.GONE, "features that were missed are no longer kept, so begin the stream anew"
            )
        before = self._listeners.get(token)
        if before is not None:
            before.taken_over()
        self.metrics.resumed.inc()
        return stream, missed


def _described(head: Head) -> dict[str, Any]:
    """What a client is told of a head."""
    config = head.config
    return {
        "name": config.name,
        "task": config.task,
        "kind": config.kind,
        "slots": [{"name": slot.name, "labels": len(slot.labels)} for slot in config.slots],
        "window_frames": config.window_frames if config.kind == "pooled" else None,
        "chunk_ms": config.chunk_ms,
    }


def build_service(
    model: Streaming[Any],
    chunk_ms: Sequence[int] = (),
    limits: Limits | None = None,
    heads: Sequence[Head] = (),
    workers: int = 1,
) -> Service:
    """Return a service of one model.

    Args:
        model: in eval mode, causal.
        chunk_ms: the chunk sizes to offer, the standard one first; the model's own when empty.
        limits: what is allowed.
        heads: what clients may ask for beside features.
        workers: threads that compute a batch each, side by side; each uses as many processor threads as
            ``torch.set_num_threads`` says. More than one pays with large models on few cores.

    Raises:
        ConfigError: a chunk size is not allowed, two heads have one name, the model is bidirectional, or the
            workers are less than one, or several on a GPU.
        HeadError: a head does not fit the model.
    """
    if not model.config.causal:
        raise ConfigError("a bidirectional model cannot be served: every frame needs the whole recording")
    sizes = chunk_ms or (model.config.chunk_ms,)
    named: dict[str, Head] = {}
    for head in heads:
        require_fit(head, model)
        if head.config.name in named:
            raise ConfigError(f"two heads are called {head.config.name!r}; give one of them another name")
        named[head.config.name] = head.to(model.device)
    return Service({size: model.with_chunk(size) for size in sizes}, limits or Limits(), named, workers)
