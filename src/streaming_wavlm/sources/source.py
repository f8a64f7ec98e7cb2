"""What a source of audio is."""

from __future__ import annotations

import threading
from typing import Protocol

from ..audio import Samples


class Put(Protocol):
    """Takes what a source has heard."""

    def __call__(self, samples: Samples, *, gap: bool = False) -> None:
        """Take a packet.

        Args:
            samples: float32 mono ``[samples]``.
            gap: whether audio of unknown length was lost before it.
        """


class Source(Protocol):
    """Hands out audio until it ends or is told to stop."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def sample_rate(self) -> int:
        """Samples per second of its packets."""

    @property
    def waits(self) -> bool:
        """Whether it can be made to wait; audio of one that cannot is dropped when nobody takes it."""

    @property
    def endless(self) -> bool:
        """Whether stopping it is the usual way for it to end."""

    def run(self, put: Put, stopped: threading.Event) -> None:
        """Hand out everything, in a thread of its own.

        Args:
            put: takes each packet.
            stopped: set when nothing more is wanted.

        Raises:
            AudioError: the audio cannot be had, or is none.
        """
