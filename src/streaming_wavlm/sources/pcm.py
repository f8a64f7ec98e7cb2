"""Raw audio that comes in pieces of any number of bytes."""

from __future__ import annotations

import numpy as np

from ..audio import Samples
from ..errors import AudioError
from ..protocol import MAX_RATE, MIN_RATE, SAMPLE_TYPES, Encoding, samples_of

# How files begin that are no raw audio: whoever pipes one has forgotten to decode it.
_FILES = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3": "an MP3 file"}
_BEGINNING = 4


class WholeSamples:
    """Cuts bytes into samples; what is left of a sample waits for the rest of it.

    Args:
        encoding: of a sample.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._size = SAMPLE_TYPES[encoding].itemsize
        self._rest = b""
        self._begun = False

    @property
    def left(self) -> int:
        """Bytes that wait for the rest of their sample."""
        return len(self._rest)

    def take(self, data: bytes) -> Samples:
        """Return the samples that are complete, float32 ``[samples]``.

        Raises:
            AudioError: the audio begins like a file.
            ProtocolError: a sample is NaN, infinite or far out of range.
        """
        data = self._rest + data
        if not self._begun:
            if len(data) < _BEGINNING:
                self._rest = data
                return np.zeros(0, np.float32)
            self._begun = True
            for beginning, what in _FILES.items():
                if data.startswith(beginning):
                    raise AudioError(
                        f"this is {what} and no raw audio: give the file itself, or decode it first: "
                        "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | streaming-wavlm stream -"
                    )
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        return samples_of(data[:whole], self._encoding)

    def finish(self) -> Samples:
        """Return the samples of audio that was too short to be told from a file, float32 ``[samples]``.

        Raises:
            ProtocolError: a sample is NaN, infinite or far out of range.
        """
        data = b"" if self._begun else self._rest
        whole = len(data) - len(data) % self._size
        if whole:
            self._rest = data[whole:]
        return samples_of(data[:whole], self._encoding)


def checked_rate(sample_rate: int) -> int:
    """Return the rate.

    Raises:
        AudioError: no audio has it.
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(f"the rate must be {MIN_RATE} to {MAX_RATE} Hz, got {sample_rate}")
    return sample_rate
