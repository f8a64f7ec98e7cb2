"""One stream as the server keeps it: audio that waits, the state, what its client may not have got."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio import Resampler
from ..config import SAMPLE_RATE
from ..errors import ProtocolError
from ..protocol import Features, Hello, message, samples_of
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
        end: the frame after its last; of the message that ends a stream, one more.
        payload: the message.
    """

    stream: int
    end: int
    payload: Payload


class LiveStream:
    """Takes audio, gives jobs for the model, takes their results, and gives messages; not thread-safe.

    At most one job is out at a time, for a chunk needs the state that the one before it left.

    Args:
        hello: what the client asked for.
        model: of the chunk size it asked for.
        replay_bytes: features that are kept in case they did not arrive.

    Raises:
        ProtocolError: a layer does not exist, or the weights do not fit the layers.
    """

    def __init__(self, hello: Hello, model: Streaming[Any], replay_bytes: int) -> None:
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
        self.token = secrets.token_urlsafe(24)
        self.model = model
        self.opened = time.monotonic()
        self.seconds = 0.0  # of audio, over all its streams
        self.stream = 0
        self._replay_bytes = replay_bytes
        self._replay: deque[Sent] = deque()
        self._replay_size = 0
        self._resampler = Resampler(hello.sample_rate)
        self._out: Job | None = None
        self._begin()

    def _begin(self) -> None:
        self._resampler.reset()
        self._queue = SampleQueue(np.dtype(np.float32))
        self._state: Any = None
        self._ending = False
        self.samples = 0
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
    def waiting_seconds(self) -> float:
        """Audio that waits for the model, in seconds."""
        return len(self._queue) / SAMPLE_RATE

    def push(self, data: bytes) -> None:
        """Take a packet.

        Raises:
            ProtocolError: it is no audio; nothing of it was taken.
        """
        samples = samples_of(data, self.hello.encoding)
        self.samples += len(samples)
        self.seconds += len(samples) / self.hello.sample_rate
        self._queue.append(self._resampler.push(samples))

    def flush(self) -> None:
        """End the stream: what is left of it becomes features, and then another begins."""
        if not self._ending:
            self._queue.append(self._resampler.finish())
            self._ending = True

    def reset(self) -> None:
        """Forget the stream and begin another; features on their way are dropped."""
        self._out = None
        self.stream += 1
        self._begin()

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
            dtype=self.hello.dtype,
            done=lambda result: done(job, result),
        )
        self._out = job
        return job

    def take(self, job: Job, result: Result) -> list[Sent]:
        """Take the result of a job and return the messages for the client.

        A job of a stream that was reset meanwhile gives nothing.
        """
        if job is not self._out or result.features is None:
            return []
        self._out = None
        self._state = result.state
        sent = []
        frames = result.features.shape[1]
        if frames:
            features = Features(result.features, self.stream, self.position, round(result.seconds * 1e6))
            self.position += frames
            sent.append(Sent(self.stream, self.position, features.pack()))
        if job.last:
            end = message(
                "end",
                stream=self.stream,
                frames=self.position,
                samples=self.samples,
                seconds=self.samples / self.hello.sample_rate,
            )
            sent.append(Sent(self.stream, self.position + 1, end))
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
        first = (self.stream, self.position) if not missing else (missing[0].stream, _begin_of(missing[0]))
        return missing if first <= (stream, received) else None

    def nbytes(self) -> int:
        """Return the memory that keeping the stream takes, in bytes."""
        state = self._state.nbytes() if self._state is not None else 0
        return state + self._replay_size + 4 * len(self._queue)

    def _keep(self, sent: Sent) -> None:
        self._replay.append(sent)
        self._replay_size += len(sent.payload)
        while self._replay_size > self._replay_bytes:
            self._replay_size -= len(self._replay.popleft().payload)


def _begin_of(sent: Sent) -> int:
    """The first frame of a message; of one that ends a stream, the frame after its last."""
    if isinstance(sent.payload, str):
        return sent.end - 1
    return Features.unpack(sent.payload).position
