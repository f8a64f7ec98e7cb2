"""Audio from a file, at once or at its own speed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ..audio import audio_info, iter_audio
from ..config import SAMPLE_RATE
from .source import Put

_BLOCK_SECONDS = 0.5
# What a microphone hands out at a time.
_LIVE_BLOCK_SECONDS = 0.02


class Recording:
    """An audio file of any format and rate, as 16 kHz mono.

    Args:
        path: of the file.
        realtime: play it at its own speed, like a microphone: then it cannot wait either.

    Raises:
        AudioError: it is missing, or no audio.
    """

    sample_rate = SAMPLE_RATE
    endless = False

    def __init__(self, path: Path, realtime: bool = False) -> None:
        audio_info(path)
        self.name = str(path)
        self.waits = not realtime
        self._path = path

    def run(self, put: Put, stopped: threading.Event) -> None:
        """Read to the end.

        Raises:
            AudioError: the file breaks off, or holds NaN.
        """
        began = time.monotonic()
        samples = 0
        for block in iter_audio(self._path, _BLOCK_SECONDS if self.waits else _LIVE_BLOCK_SECONDS):
            samples += len(block)
            if not self.waits:
                # A packet can be had once its last sample has been played.
                stopped.wait(max(0.0, began + samples / SAMPLE_RATE - time.monotonic()))
            if stopped.is_set():
                return
            put(block)
