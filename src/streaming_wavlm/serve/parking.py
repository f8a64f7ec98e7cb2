"""Streams that lost their connection, kept for their clients to come back: not for long, and not too many."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .limits import Limits
from .metrics import Metrics
from .stream import LiveStream


@dataclass(frozen=True)
class _Place:
    stream: LiveStream
    timer: asyncio.TimerHandle


class Parking:
    """Keeps streams by their tokens; lives in one event loop.

    Args:
        limits: how many, how long, how much memory.
        metrics: are told how many are kept, and how many were given up.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def nbytes(self) -> int:
        """Return the memory that the streams take, in bytes."""
        return sum(place.stream.nbytes() for place in self._places.values())

    def put(self, stream: LiveStream) -> None:
        """Keep a stream; beyond the limits others are given up, or this one.

        Args:
            stream: without a connection.
        """
        if not self._limits.parked:
            return
        timer = asyncio.get_running_loop().call_later(
            self._limits.parked_seconds, self._give_up, stream.token
        )
        self._places[stream.token] = _Place(stream, timer)
        while len(self) > self._limits.parked or self.nbytes() > self._limits.parked_bytes:
            self._give_up(self._least())
        self._count()

    def take(self, token: str) -> LiveStream | None:
        """Return the stream of a token, which is then no longer kept, or None.

        Args:
            token: that its client was given.
        """
        place = self._places.pop(token, None)
        if place is None:
            return None
        place.timer.cancel()
        self._count()
        return place.stream

    def clear(self) -> None:
        """Keep none any more."""
        for token in list(self._places):
            self.take(token)

    def _least(self) -> str:
        """The stream to give up first: the oldest, but those that heard nothing before all others.

        A connection costs its client nothing until it sends audio, so it must not drive out one that did.
        """
        return next(
            (token for token, place in self._places.items() if place.stream.blank), next(iter(self._places))
        )

    def _give_up(self, token: str) -> None:
        if self.take(token) is not None:
            self._metrics.dropped.inc()

    def _count(self) -> None:
        self._metrics.parked.set(len(self))
