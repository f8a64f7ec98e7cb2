"""A bounded queue between a source in its own thread and a model that may be slower."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from ..audio import Samples
from ..errors import InputError
from .source import Source

# A source that waits for its next packet cannot be woken; its thread ends with the process.
_JOIN_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Packet:
    """A piece of audio.

    Attributes:
        samples: float32 mono ``[samples]``, at the rate of its source.
        arrived: when it came, in seconds of the monotonic clock.
    """

    samples: Samples
    arrived: float


class Capture:
    """Runs a source and keeps what it gives until it is taken; a context manager.

    A source that cannot wait is never held up: what finds no room is dropped and counted. One that can wait
    does so.

    Args:
        source: where the audio comes from.
        seconds: audio that may wait.

    Raises:
        InputError: the time is not positive.
    """

    def __init__(self, source: Source, seconds: float = 5.0) -> None:
        if not 0 < seconds < float("inf"):
            raise InputError(f"the queue must have room for some seconds of audio, got {seconds!r}")
        self.source = source
        self._room = int(seconds * source.sample_rate)
        self._packets: deque[Packet] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._done = False
        self._drops = 0
        self._dropped = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="audio", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(_JOIN_SECONDS)

    @property
    def drops(self) -> int:
        """Packets for which there was no room, and gaps that the source itself reported."""
        return self._drops

    @property
    def dropped_seconds(self) -> float:
        """Audio for which there was no room, in seconds."""
        return self._dropped / self.source.sample_rate

    @property
    def ended(self) -> bool:
        """Whether the source has ended, or was stopped, and everything was taken."""
        with self._changed:
            return not self._packets and (self._done or self._stopped.is_set())

    @property
    def error(self) -> Exception | None:
        """Why the source ended, if it failed."""
        return self._error

    def get(self, timeout: float) -> Packet | None:
        """Return the next packet; None if nothing came in time, or nothing more will.

        Args:
            timeout: seconds to wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._packets or self._done or self._stopped.is_set(), timeout)
            if not self._packets:
                return None
            packet = self._packets.popleft()
            self._waiting -= len(packet.samples)
            self._changed.notify_all()
            return packet

    def stop(self) -> None:
        """Take no more audio; what has been taken can still be had."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self.source.run(self._put, self._stopped)
        except Exception as error:  # noqa: BLE001 - told by the thread that takes the audio
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, samples: Samples, *, gap: bool = False) -> None:
        arrived = time.monotonic()
        with self._changed:
            self._drops += gap
            if self.source.waits:
                self._changed.wait_for(lambda: self._stopped.is_set() or self._fits(samples))
                arrived = time.monotonic()
            if self._stopped.is_set():
                return
            if not self._fits(samples):
                self._drops += 1
                self._dropped += len(samples)
                return
            self._packets.append(Packet(samples, arrived))
            self._waiting += len(samples)
            self._changed.notify_all()

    def _fits(self, samples: Samples) -> bool:
        # A packet longer than the whole queue must go through, too.
        return not self._packets or self._waiting + len(samples) <= self._room
