"""Which engines there are, and which of them can run a model here."""

from __future__ import annotations

import importlib.util

from ..errors import EngineError, MissingDependencyError
from ..model import StreamingWavLM
from .linear import quantizes

#: The engines by name; ``"auto"`` is the fastest of them here.
ENGINES: tuple[str, ...] = ("auto", "eager", "packed")


def why_not(engine: str, precision: str, model: StreamingWavLM) -> Exception | None:
    """Return why an engine cannot run a model here, as an error to raise; None if it can."""
    if engine == "eager":
        if precision == "int8":
            return EngineError(
                'engine "eager" has no int8; use engine="packed", or precision "fp32" or "bf16"'
            )
        return None
    if model.device.type != "cpu":
        return EngineError(
            f'engine {engine!r} runs on the CPU, the model is on {model.device}; use engine="eager" there'
        )
    if engine == "packed" and precision == "int8" and not quantizes():
        return EngineError("this build of torch has no int8 products of oneDNN; use precision bf16 or fp32")
    library = {"openvino": "openvino", "onnxruntime": "onnxruntime"}.get(engine)
    if library is not None and importlib.util.find_spec(library) is None:
        return MissingDependencyError(
            f'engine {engine!r} needs {library}: pip install "streaming-wavlm[{engine}]"'
        )
    return None
