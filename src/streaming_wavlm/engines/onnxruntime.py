"""The ONNX Runtime engine: runs wherever ONNX Runtime does."""

from __future__ import annotations

from .graph import GraphEngine


class OnnxRuntimeModel(GraphEngine):
    """A causal model in ONNX Runtime; see :class:`GraphEngine`. It has ``"fp32"`` and ``"int8"``."""

    name = "onnxruntime"
    format = "onnx"
