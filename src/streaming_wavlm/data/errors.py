"""What can be wrong with a corpus."""

from __future__ import annotations

from streaming_wavlm.errors import StreamingWavLMError


class DataError(StreamingWavLMError):
    """A corpus cannot be read, or too much of it is unreadable."""
