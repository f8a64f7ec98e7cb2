"""WavLM made causal: audio in chunk by chunk, every layer of features out, exactly as one pass would give.

    import streaming_wavlm as sw

    model = sw.load("mini", chunk_ms=400)
    session = sw.StreamSession(model, sample_rate=48000)
    features = session.push(packet)  # [layers, new frames, dim]

Names are loaded when they are first used, so that the command line answers before torch is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Latency, StreamingWavLMConfig
    from .conversion import convert
    from .errors import StreamingWavLMError
    from .loading import load
    from .model import StreamingWavLM
    from .output import WavLMOutput
    from .session import StreamSession
    from .state import StreamState

__all__ = [
    "Latency",
    "StreamSession",
    "StreamState",
    "StreamingWavLM",
    "StreamingWavLMConfig",
    "StreamingWavLMError",
    "WavLMOutput",
    "__version__",
    "convert",
    "load",
]

_HOME = {
    "Latency": "config",
    "StreamSession": "session",
    "StreamState": "state",
    "StreamingWavLM": "model",
    "StreamingWavLMConfig": "config",
    "StreamingWavLMError": "errors",
    "WavLMOutput": "output",
    "convert": "conversion",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("streaming-wavlm")
        except PackageNotFoundError:  # used from a checkout, by torch.hub for one
            return "0+uninstalled"
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
