"""Warnings to a client, before a limit is reached that would make it wait, or end it."""

from __future__ import annotations

from ..protocol import message
from .limits import Limits

# Shares of a limit at which a client is warned, and below which it may be warned again.
_HIGH, _LOW = 0.5, 0.25
_NEARLY_OVER = 0.9


class Alerts:
    """Remembers what a client was warned of, so that it hears of it once.

    Args:
        limits: that it is warned of.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._on: set[str] = set()

    def due(self, *, waiting: float, unread: int, seconds: float, draining: bool) -> list[str]:
        """Return the warnings that are due.

        Args:
            waiting: audio that waits for the model, in seconds.
            unread: bytes of features that wait for the client.
            seconds: audio of the stream so far.
            draining: whether the server is stopping.
        """
        limits = self._limits
        levels = {
            "behind": (
                waiting / limits.buffer_seconds,
                f"{waiting:.1f} s of audio wait for the model; beyond {limits.buffer_seconds:g} s packets "
                "are not read until it catches up",
            ),
            "slow": (
                unread / limits.outbox_bytes,
                f"{unread} bytes of features wait to be read; beyond {limits.outbox_bytes} the stream is "
                "closed",
            ),
            "long": (
                seconds / limits.stream_seconds * _HIGH / _NEARLY_OVER,
                f"a stream has at most {limits.stream_seconds:g} s of audio, and this one has {seconds:.0f}",
            ),
            "stopping": (
                float(draining),
                f"the server is stopping: what it has taken is computed, for {limits.drain_seconds:g} s at "
                "most",
            ),
        }
        told = []
        for about, (level, reason) in levels.items():
            if level < _LOW:
                self._on.discard(about)
            elif level >= _HIGH and about not in self._on:
                self._on.add(about)
                told.append(message("warning", about=about, reason=reason))
        return told
