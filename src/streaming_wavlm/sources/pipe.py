"""Raw audio from a pipe."""

from __future__ import annotations

import logging
import os
import threading

from ..errors import AudioError
from ..protocol import Encoding
from .pcm import WholeSamples, checked_rate
from .source import Put

logger = logging.getLogger(__name__)

# As much as a pipe holds.
_READ_BYTES = 2**16


class Pipe:
    """Mono audio without a header.

    Args:
        descriptor: of the open file to read; it is read directly, for a buffer would hold audio back.
        sample_rate: in Hz.
        encoding: of a sample.

    Raises:
        AudioError: the rate is none, or somebody would have to type the audio.
    """

    name = "standard input"
    waits = True
    endless = False

    def __init__(self, descriptor: int = 0, sample_rate: int = 16_000, encoding: Encoding = "pcm16") -> None:
        if os.isatty(descriptor):
            raise AudioError(
                "standard input is a terminal; pipe raw audio into it: "
                "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | streaming-wavlm stream -"
            )
        self.sample_rate = checked_rate(sample_rate)
        self._descriptor = descriptor
        self._samples = WholeSamples(encoding)

    def run(self, put: Put, stopped: threading.Event) -> None:
        """Read to the end.

        Raises:
            AudioError: there is nothing, or it is a file of another format.
            ProtocolError: a sample is NaN, infinite or far out of range.
        """
        found = False
        while not stopped.is_set():
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except OSError as error:
                raise AudioError(f"standard input cannot be read: {error.strerror}") from error
            if not data:
                break
            samples = self._samples.take(data)
            found = found or len(samples) > 0
            put(samples)
        if not found and not stopped.is_set():
            samples = self._samples.finish()
            if not len(samples):
                raise AudioError(
                    f"standard input held no audio ({self._samples.left} bytes); did the command before the "
                    "pipe fail?"
                )
            put(samples)
        if self._samples.left:
            logger.warning(
                "standard input ended inside a sample; %d bytes were left over", self._samples.left
            )
