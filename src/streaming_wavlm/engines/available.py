"""Which engines there are, and which of them can run a model here."""

from __future__ import annotations

import importlib.util

from ..attention import GatedAttention
from ..errors import EngineError, MissingDependencyError
from ..model import StreamingWavLM
from .attention import gates_refused
from .linear import quantizes

#: The engines by name; ``"auto"`` is the fastest of them here.
ENGINES: tuple[str, ...] = ("auto", "eager", "packed", "openvino", "onnxruntime", "cuda_graph")

# Engines that export a graph first, each time: too long to wait for unasked.
EXPORTING: tuple[str, ...] = ("openvino", "onnxruntime")

# Engines that are libraries of their own, and the extra that installs each.
_LIBRARIES = {"openvino": "openvino", "onnxruntime": "onnx"}
# Where each engine computes; the eager one goes wherever the model is.
_DEVICES = {"packed": "cpu", "cuda_graph": "cuda", "openvino": "cpu", "onnxruntime": "cpu"}
_NO_INT8 = ("eager", "cuda_graph")


def why_not(engine: str, precision: str, model: StreamingWavLM) -> Exception | None:
    """Return why an engine cannot run a model here, as an error to raise; None if it can."""
    device = _DEVICES.get(engine)
    if device is not None and model.device.type != device:
        return EngineError(
            f"engine {engine!r} runs on {device}, and the model is on {model.device}: load it there, or use "
            'engine="eager"'
        )
    if precision == "int8" and engine in _NO_INT8:
        return EngineError(
            f'engine {engine!r} has no int8: use precision "fp32" or "bf16", or engine="packed"'
        )
    if precision == "int8" and engine == "packed" and not quantizes():
        return EngineError("this build of torch has no int8 products of oneDNN; use precision bf16 or fp32")
    if precision == "bf16" and engine == "onnxruntime":
        return EngineError('engine "onnxruntime" has no bf16 on the CPU: use precision "fp32" or "int8"')
    if engine in _LIBRARIES and importlib.util.find_spec(engine) is None:
        return MissingDependencyError(
            f'engine {engine!r} needs {engine}: pip install "streaming-wavlm[{_LIBRARIES[engine]}]"'
        )
    packed = model.modules() if engine == "packed" else ()
    layers = (module for module in packed if isinstance(module, GatedAttention))
    return next(filter(None, map(gates_refused, layers)), None)
