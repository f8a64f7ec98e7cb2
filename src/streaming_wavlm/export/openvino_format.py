"""OpenVINO: the step as an ``.xml`` graph with its weights in a ``.bin`` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ExportError, MissingDependencyError
from ..model import StreamingWavLM
from .graph import trace
from .metadata import KEY, Metadata
from .quiet import quiet
from .signature import (
    Precision,
    input_names,
    input_shapes,
    is_window,
    output_names,
)

_HINT = 'pip install "streaming-wavlm[openvino]"'
# How a graph of each precision is to be compiled.
COMPILE: dict[str, dict[str, str]] = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {"INFERENCE_PRECISION_HINT": "bf16", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"},
}


def write(model: StreamingWavLM, target: Path, precision: Precision, batch: int | None) -> None:
    """Write the graph.

    In bf16 and int8 keys and values are bfloat16 at the border, too: half the memory to move at each step.

    Raises:
        MissingDependencyError: OpenVINO, or for int8 nncf, is not installed.
    """
    ov = import_openvino()
    with quiet():
        graph = ov.convert_model(trace(model, batch))
    config = model.config
    names = (input_names(config), output_names(config))
    for ports, labels in zip((graph.inputs, graph.outputs), names, strict=True):
        for port, label in zip(ports, labels, strict=True):
            port.set_names({label})
    graph.reshape({name: list(shape) for name, shape in input_shapes(config, batch or -1).items()})
    if precision != "fp32":
        graph = _with_narrow_windows(ov, graph)
    if precision == "int8":
        graph = _compressed(graph)
    metadata = Metadata.of(model, precision, batch, COMPILE[precision])
    graph.set_rt_info(metadata.to_json(), KEY)
    ov.save_model(graph, str(target), compress_to_fp16=precision != "fp32")


def import_openvino() -> Any:
    """Return the module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(f"OpenVINO is not installed: {_HINT}") from error
    return openvino


def _options(metadata: Metadata, path: Path) -> dict[str, str]:
    if metadata.precision not in COMPILE:
        raise ExportError(
            f"{path} has precision {metadata.precision!r}; an OpenVINO graph has one of "
            f"{', '.join(map(repr, COMPILE))}: it is damaged; export it again"
        )
    return COMPILE[metadata.precision]


def _with_narrow_windows(ov: Any, graph: Any) -> Any:
    from openvino.preprocess import PrePostProcessor

    border = PrePostProcessor(graph)
    for port in graph.inputs:
        if is_window(port.get_any_name()):
            border.input(port.get_any_name()).tensor().set_element_type(ov.Type.bf16)
    for port in graph.outputs:
        if is_window(port.get_any_name().removeprefix("new.")):
            border.output(port.get_any_name()).tensor().set_element_type(ov.Type.bf16)
    return border.build()


def _compressed(graph: Any) -> Any:
    """Return the graph with int8 weights, a scale for each output channel."""
    try:
        import nncf
    except ImportError as error:
        raise MissingDependencyError(f"int8 in OpenVINO needs nncf: {_HINT}") from error
    with quiet():
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)


class OpenVINOStep:
    """Runs an ``.xml`` file in OpenVINO on the CPU.

    Args:
        path: the file.
        threads: of the products; OpenVINO's choice when None.
        batch: compile for this number of streams, where the file takes any.

    Raises:
        ExportError: it cannot be read.
        MissingDependencyError: OpenVINO is not installed.
    """

    state_type = torch.float32

    def __init__(self, path: Path, threads: int | None = None, batch: int | None = None) -> None:
        ov = import_openvino()
        core = ov.Core()
        with path.open("rb") as file:
            if not file.read(5).startswith((b"<?xml", b"<net")):  # OpenVINO would try every other format
                raise ExportError(f"{path} cannot be read as an OpenVINO graph: it is no XML")
        try:
            graph = core.read_model(str(path))
        except RuntimeError as error:
            raise ExportError(f"{path} cannot be read as an OpenVINO graph: {error}") from error
        text = graph.get_rt_info(KEY).astype(str) if graph.has_rt_info(KEY) else None
        self.metadata = Metadata.from_json(text, path)
        config = self.metadata.config
        if batch is not None and self.metadata.batch is None:
            graph.reshape({name: list(shape) for name, shape in input_shapes(config, batch).items()})
        # Not the file's own options, which are for readers without this package: one of them writes files.
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", **_options(self.metadata, path)}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        self._request = core.compile_model(graph, "CPU", options).create_infer_request()
        self._ov = ov
        self.window_type = torch.float32 if self.metadata.precision == "fp32" else torch.bfloat16
        self._outputs = output_names(config)

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one step; names as in the metadata."""
        # The request borrows this memory: a copy that is made here must live until it has run.
        borrowed = {name: tensor.contiguous() for name, tensor in inputs.items()}
        for name, tensor in borrowed.items():
            self._request.set_tensor(name, self._shared(tensor))
        self._request.infer()
        return {name: self._copied(self._request.get_tensor(name)) for name in self._outputs}

    def _shared(self, tensor: Tensor) -> Any:
        """Return OpenVINO's view of a contiguous tensor's memory."""
        if tensor.dtype == torch.bfloat16:  # numpy has no such type
            return self._ov.Tensor(
                tensor.view(torch.int16).numpy(), self._ov.Shape(list(tensor.shape)), self._ov.Type.bf16
            )
        return self._ov.Tensor(tensor.numpy(), shared_memory=True)

    def _copied(self, tensor: Any) -> Tensor:
        """Return a copy of what is in memory that the next step writes over."""
        if tensor.element_type == self._ov.Type.bf16:
            bits = torch.frombuffer(tensor.data, dtype=torch.bfloat16) if tensor.size else torch.empty(0)
            return bits.view(list(tensor.shape)).clone()
        return torch.from_numpy(tensor.data).clone()
