"""One stream as the server keeps it: audio that waits, the state, what its client may not have got."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..audio import Resampler, Samples
from ..config import SAMPLE_RATE
from ..errors import AudioError, MissingDependencyError, ProtocolError
from ..heads import Head, HeadReader
from ..ogg_opus import OPUS_RATE, OpusStream
from ..protocol import OGG_OPUS, Features, Hello, message, samples_of
from ..sample_queue import SampleQueue
from ..streaming import Streaming, resolve_layers
from .batcher import Job, Result

# A message to the client.
Payload = bytes | str


@dataclass(frozen=True)
class Sent:
    """A message that was handed out.

    Attributes:
        stream: which stream it is about.
        begin: the first frame that it is about.
        end: the frame after its last; of the message that ends a stream, one more.
        payload: the message.
    """

    stream: int
    begin: int
    end: int
    payload: Payload


class LiveStream:
    """Takes audio, gives jobs for the model, takes their results, and gives messages; not thread-safe.

    At most one job is out at a time, for a chunk needs the state that the one before it left.

    Args:
        hello: what the client asked for.
        model: of the chunk size it asked for.
        replay_bytes: features that are kept in case they did not arrive.
        heads: those that are served, by their names.

    Raises:
        ProtocolError: a layer or a head does not exist, or the weights do not fit the layers.
    """

    def __init__(
        self, hello: Hello, model: Streaming[Any], replay_bytes: int, heads: Mapping[str, Head] | None = None
    ) -> None:
        last = (model.config.num_layers - 1,)
        try:
            self.layers = resolve_layers(hello.layers or last, model.config.num_layers)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if hello.weights is not None and len(hello.weights) != len(self.layers):
            raise ProtocolError(
                f"weights must be one number per layer asked for, got {len(hello.weights)} numbers and "
                f"{len(self.layers)} layers"
            )
        self.hello = hello
        self.heads = _chosen(hello.heads or (), heads or {})
        self._reader = HeadReader(self.heads)
        self.token = secrets.token_urlsafe(24)
        self.model = model
        self.opened = time.monotonic()
        self.total_seconds = 0.0  # of audio, over all its streams
        self.stream = 0
        self._replay_bytes = replay_bytes
        self._replay: deque[Sent] = deque()
        self._replay_size = 0
        self._rate = OPUS_RATE if hello.encoding == OGG_OPUS else hello.sample_rate
        self._resampler = Resampler(self._rate)
        self._out: Job | None = None
        self.failure: Exception | None = None  # why the model cannot go on with it
        self._dropped = False  # whether what is out is about a stream that was reset
        self._begin()

    def _begin(self) -> None:
        self._resampler.reset()
        self._queue = SampleQueue(np.dtype(np.float32))
        # When each whole chunk in the queue became one, and when the stream was ended.
        self._complete: deque[float] = deque()
        self._ended = 0.0
        self._state: Any = None
        self._heard = self._reader.begin()
        self._opus = _opus() if self.hello.encoding == OGG_OPUS else None
        self._ending = False
        self.seconds = 0.0  # of audio
        self.samples = 0
        self.taken = 0  # of what the client counts: samples, or bytes of Ogg/Opus
        self.position = 0

    @property
    def ending(self) -> bool:
        """Whether a flush is on its way: no more audio is taken until it is done."""
        return self._ending

    @property
    def busy(self) -> bool:
        """Whether a job is out or due."""
        return self._out is not None or self._ending or len(self._queue) >= self.model.config.chunk_samples

    @property
    def blank(self) -> bool:
        """Whether nothing was heard since it began, and nothing may have to be sent again."""
        return not (self.taken or self._out or self._ending or self._replay)

    @property
    def waiting_seconds(self) -> float:
        """Audio that waits for the model, in seconds."""
        return len(self._queue) / SAMPLE_RATE

    def push(self, data: bytes) -> None:
        """Take a packet.

        Raises:
            ProtocolError: it is no audio; nothing of it was taken.
        """
        samples = self._samples_of(data)
        self.samples += len(samples)
        self.taken += len(samples) if self._opus is None else len(data)
        self.seconds += len(samples) / self._rate
        self.total_seconds += len(samples) / self._rate
        self._append(self._resampler.push(samples))

    def flush(self, stream: int | None = None) -> None:
        """End the stream: what is left of it becomes features, and then another begins.

        Args:
            stream: its number, for the client that knows it: a flush that is said again after a break may be
                about a stream that has ended, and then nothing happens.

        Raises:
            ProtocolError: its encoding does not end here, or the number is of no stream so far.
        """
        if stream is not None and stream > self.stream:
            raise ProtocolError(f"a flush is of a stream that has begun, up to {self.stream}, got {stream}")
        if not self._ending and stream in (None, self.stream):
            if self._opus is not None:
                with _told():
                    self._opus.finish()
            self._append(self._resampler.finish())
            self._ended = time.monotonic()
            self._ending = True

    def _append(self, samples: Samples) -> None:
        self._queue.append(samples)
        chunks = len(self._queue) // self.model.config.chunk_samples
        self._complete.extend([time.monotonic()] * (chunks - len(self._complete)))

    def _samples_of(self, data: bytes) -> Samples:
        if self._opus is None:
            return samples_of(data, self.hello.encoding)
        with _told():
            return self._opus.push(data)

    def reset(self, number: int | None = None) -> Job | None:
        """Forget the stream and begin another; features on their way are dropped.

        Args:
            number: of the stream that begins; the next one when None.

        Returns:
            The job that is out, if one is: nothing else is due until it is back or given up.
        """
        self._dropped = self._out is not None
        self.stream = self.stream + 1 if number is None else number
        self._begin()
        return self._out

    def returned(self, job: Job) -> bool:
        """Take a job back that is of no use: it was cancelled, or its stream was reset meanwhile.

        Args:
            job: that was out.

        Returns:
            Whether nobody waits for its result.
        """
        if job is self._out and self._dropped:
            self._out, self._dropped = None, False
            return True
        return job is not self._out

    def job(self, done: Callable[[Job, Result], None]) -> Job | None:
        """Return what the model is to do next, or None if nothing is due or a job is out.

        Args:
            done: called with the job and its result, in the model's thread.
        """
        size = self.model.config.chunk_samples
        whole = len(self._queue) >= size
        if self._out is not None or not (whole or self._ending):
            return None
        samples = self._queue.peek(size if whole else len(self._queue))
        self._queue.drop(len(samples))
        job = Job(
            samples,
            self._state if self._state is not None else self.model.init_state(1),
            last=not whole,
            chunk_ms=self.model.config.chunk_ms,
            layers=self.layers,
            weights=self.hello.weights,
            pool=self.hello.pool,
            dtype=self.hello.dtype,
            done=done,
            read=partial(self._reader.advance, state=self._heard, position=self.position)
            if self.heads
            else None,
            complete=self._complete.popleft() if whole else self._ended,
        )
        self._out = job
        return job

    def take(self, job: Job, result: Result) -> list[Sent]:
        """Take the result of a job and return the messages for the client.

        A job of a stream that was reset meanwhile gives nothing.
        """
        if self.returned(job) or result.features is None:
            return []
        self._out = None
        self._state = result.state
        sent = []
        frames = result.frames
        if frames:
            begin, end = self.position, self.position + frames
            said, self._heard = result.read or ([], self._heard)
            # Before its features: whoever has the features of a chunk has heard what was said of it.
            for fields in said:
                sent.append(Sent(self.stream, begin, end, message("head", stream=self.stream, **fields)))
            pooled = frames if self.hello.pool else 0
            features = Features(result.features, self.stream, begin, round(result.seconds * 1e6), pooled)
            sent.append(Sent(self.stream, begin, end, features.pack()))
            self.position = end
        if job.last:
            last = message(
                "end",
                stream=self.stream,
                frames=self.position,
                samples=self.samples,
                seconds=self.samples / self._rate,
            )
            sent.append(Sent(self.stream, self.position, self.position + 1, last))
            self.stream += 1
            self._begin()
        for one in sent:
            self._keep(one)
        return sent

    def missed(self, stream: int, received: int) -> list[Sent] | None:
        """Return the messages from a frame on, or None if some of them are no longer kept.

        Args:
            stream: number of the stream that the client got last.
            received: its first frame that has not arrived.
        """
        if (stream, received) > (self.stream, self.position):
            return None
        missing = [one for one in self._replay if (one.stream, one.end) > (stream, received)]
        first = (self.stream, self.position) if not missing else (missing[0].stream, missing[0].begin)
        return missing if first <= (stream, received) else None

    def nbytes(self) -> int:
        """Return the memory that keeping the stream takes, in bytes."""
        state = self._state.nbytes() if self._state is not None else 0
        return state + self._replay_size + 4 * len(self._queue)

    def _keep(self, sent: Sent) -> None:
        self._replay.append(sent)
        self._replay_size += len(sent.payload)
        while self._replay_size > self._replay_bytes:
            gone = self._replay.popleft()
            self._replay_size -= len(gone.payload)
            # What was said of a chunk and its features go together.
            while self._replay and (self._replay[0].stream, self._replay[0].end) == (gone.stream, gone.end):
                self._replay_size -= len(self._replay.popleft().payload)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell the client what is wrong with its Ogg/Opus."""
    try:
        yield
    except AudioError as error:
        raise ProtocolError(str(error)) from error


def _opus() -> OpusStream:
    try:
        return OpusStream()
    except MissingDependencyError as error:
        raise ProtocolError(f"this server does not take {OGG_OPUS}: {error}") from error


def _chosen(names: Sequence[str], heads: Mapping[str, Head]) -> dict[str, Head]:
    unknown = [name for name in names if name not in heads]
    if unknown:
        offered = f"there are {', '.join(heads)}" if heads else "none is served (serve --head)"
        raise ProtocolError(f"heads must be among those that are served, got {unknown[0]!r:.60}; {offered}")
    return {name: heads[name] for name in names}
