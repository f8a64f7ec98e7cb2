"""Audio files read from front to back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

# What libsndfile says of a file whose header leaves its length open, as that of FLAC from a pipe does.
_UNKNOWN = 2**63 - 1
# Values read at a time at most: memory that no header can raise.
_MOST_VALUES = 2**22
# An MP3 frame may need bits of up to 23 frames before it, and decoding overlaps with one more.
_MP3_RUN_UP = 32 * 1152


class AudioFile(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
    """An audio file that is never repositioned behind the reader's back.

    soundfile seeks to where it already is after every read of a file that can seek. In an MP3 that drops what
    the decoder keeps of earlier frames, and the next samples come out wrong.
    """

    def seekable(self) -> bool:
        """Say no, so that soundfile reads straight on."""
        return False

    @property
    def known_frames(self) -> int | None:
        """Samples per channel that the header declares; None where it leaves the length open."""
        frames = int(self.frames)
        return None if frames == _UNKNOWN else frames

    def blocks_of(self, frames: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the rest of the file, float32 ``[samples, channels]``, up to ``frames`` samples at a time."""
        frames = max(1, min(frames, _MOST_VALUES // self.channels))
        while len(samples := self.read(frames, dtype="float32", always_2d=True)):
            yield samples

    def part(self, start: int, frames: int) -> npt.NDArray[np.float32]:
        """Return up to ``frames`` samples from ``start`` on, as they sound when the file is read through.

        Args:
            start: the first sample.
            frames: how many.

        Returns:
            float32 ``[samples, channels]``, fewer where the file ends before.
        """
        run_up = min(start, _MP3_RUN_UP) if self.format == "MP3" else 0
        self.seek(start - run_up)
        left = run_up + frames
        found: list[Any] = [np.zeros((0, self.channels), dtype=np.float32)]
        for block in self.blocks_of(left):
            found.append(block[:left])
            left -= len(found[-1])
            if left <= 0:
                break
        return np.concatenate(found)[run_up:]

    def count(self) -> int:
        """Return the samples per channel that are left, by reading them."""
        return sum(map(len, self.blocks_of(_MOST_VALUES)))
