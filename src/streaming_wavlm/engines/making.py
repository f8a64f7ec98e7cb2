"""From the name of an engine to the engine."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import ConfigError, EngineError
from ..model import StreamingWavLM
from ..streaming import Streaming
from .auto import fastest
from .available import ENGINES, why_not
from .converted import converted
from .linear import PRECISIONS, Precision
from .packed import PackedModel


def make_engine(model: StreamingWavLM, engine: str = "auto", precision: str = "fp32") -> Streaming[Any]:
    """Return a way to run a model.

    Args:
        model: the model, in eval mode; it is left as it is. Its weights are copied where an engine lays them
            out anew or has them in another type; otherwise they are shared.
        engine: ``"eager"``, the model's own modules; ``"packed"``, laid out for streaming on a CPU;
            ``"openvino"`` or ``"onnxruntime"``, a graph in that runtime; ``"cuda_graph"``; or ``"auto"``, the
            fastest of those that can run here.
        precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.

    Raises:
        EngineError: there is no such engine or precision, or it cannot run here.
        ConfigError: the model is bidirectional.
        MissingDependencyError: the engine's library is not installed.
    """
    if engine not in ENGINES:
        raise EngineError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
    if precision not in PRECISIONS:
        raise EngineError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}")
    if not model.config.causal and engine != "eager":
        raise ConfigError('a bidirectional model cannot be streamed: it runs with engine="eager" only')
    if engine == "auto":
        return fastest(model, precision, make_engine)
    reason = why_not(engine, precision, model)
    if reason is not None:
        raise reason
    if engine == "eager":
        return converted(model, torch.bfloat16) if precision == "bf16" else model
    if engine == "cuda_graph":
        from .cuda_graph import GraphedModel

        return GraphedModel(model, _precision(precision))
    if engine == "openvino":
        from .openvino import OpenVINOModel

        return OpenVINOModel(model, _precision(precision))
    if engine == "onnxruntime":
        from .onnxruntime import OnnxRuntimeModel

        return OnnxRuntimeModel(model, _precision(precision))
    return PackedModel(model, _precision(precision))


def _precision(name: str) -> Precision:
    """Return the precision of a name that has been checked."""
    precision: Precision = "fp32" if name == "fp32" else "bf16" if name == "bf16" else "int8"
    return precision
