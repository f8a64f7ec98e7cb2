"""Export: the whole step, front-end to last layer, as one graph that other runtimes run.

from streaming_wavlm.export import check, export

export(model, "mini.onnx", format="onnx", precision="int8")
check("mini.onnx", model, audio)
"""

from __future__ import annotations

from .checking import LayerError, Tolerance, check
from .exporting import FORMATS, export
from .metadata import Metadata
from .opening import ExportedStep, open_exported

__all__ = [
    "FORMATS",
    "ExportedStep",
    "LayerError",
    "Metadata",
    "Tolerance",
    "check",
    "export",
    "open_exported",
]
