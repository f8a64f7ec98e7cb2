"""ONNX: the step for ONNX Runtime and whatever else reads the format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..errors import ExportError, MissingDependencyError
from ..model import StreamingWavLM
from .graph import trace
from .metadata import KEY, Metadata
from .quiet import quiet
from .signature import Precision, input_names, output_names

_OPSET = 20
_HINT = 'pip install "streaming-wavlm[onnx]"'


def write(model: StreamingWavLM, target: Path, precision: Precision, batch: int | None) -> None:
    """Write an ``.onnx`` file, weights included; int8 quantises the products' weights per channel.

    Raises:
        MissingDependencyError: onnx, onnxscript or ONNX Runtime is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise MissingDependencyError(f"the ONNX export needs onnx and onnxscript: {_HINT}") from error
    config = model.config
    with quiet():
        program = torch.onnx.export(
            _laid_out(trace(model, batch)),
            input_names=input_names(config),
            output_names=output_names(config),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch's ONNX exporter returned nothing")
    graph = program.model_proto
    if precision == "int8":
        graph = _quantised(graph)
    # Metadata is all that is left to say of where the graph came from: traces of it carry local paths.
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    entry = graph.metadata_props.add()
    entry.key, entry.value = KEY, Metadata.of(model, precision, batch).to_json()
    onnx.save_model(graph, str(target))


def _laid_out(program: ExportedProgram) -> ExportedProgram:
    """Return the program with a copy before every reshape.

    How the result of an attention lies in memory depends on the kernel; the exporter takes kernels apart, and
    a reshape that was a mere view before then fails. Copies cost nothing: ONNX knows no strides.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target == torch.ops.aten.reshape.default:
            with graph.inserting_before(node):
                layout = {"memory_format": torch.contiguous_format}
                copy = graph.call_function(torch.ops.aten.clone.default, (node.args[0],), layout)
            node.replace_input_with(node.args[0], copy)
    return program


def _quantised(graph: Any) -> Any:
    """Return the graph with its products in int8, activations quantised as they come."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingDependencyError(f"int8 in ONNX needs ONNX Runtime: {_HINT}") from error
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(graph, str(before))
        with quiet():
            quantize_dynamic(
                before,
                after,
                # Convolutions stay: their int8 form is slower, and the waveform wants its precision.
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        return onnx.load_model(str(after))


class OnnxStep:
    """Runs an ``.onnx`` file in ONNX Runtime on the CPU.

    Args:
        path: the file.
        threads: of the products; ONNX Runtime's choice when None.

    Raises:
        ExportError: it cannot be read.
        MissingDependencyError: ONNX Runtime is not installed.
    """

    window_type = torch.float32
    state_type = torch.float32

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise MissingDependencyError(f"running ONNX needs ONNX Runtime: {_HINT}") from error
        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        # Threads that spin while they wait starve whatever else the machine does between two chunks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this
            raise ExportError(f"{path} cannot be read as ONNX: {error}") from error
        properties = self._session.get_modelmeta().custom_metadata_map
        self.metadata = Metadata.from_json(properties.get(KEY), path)
        self._outputs = output_names(self.metadata.config)

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one step; names as in the metadata."""
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        outputs = self._session.run(self._outputs, arrays)
        return {name: torch.from_numpy(array) for name, array in zip(self._outputs, outputs, strict=True)}
