"""``torch.export``: the step as an ``ExportedProgram`` in a ``.pt2`` file."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ExportError
from ..model import StreamingWavLM
from .graph import trace
from .metadata import KEY, Metadata
from .quiet import quiet
from .signature import Precision, input_names, output_names
from .torch_contents import check_contents


def write(model: StreamingWavLM, target: Path, precision: Precision, batch: int | None) -> None:
    """Write a ``.pt2`` file; in bfloat16 the state is in bfloat16 too, samples and features never."""
    metadata = Metadata.of(model, precision, batch)
    if precision == "bf16":
        model = copy.deepcopy(model).to(torch.bfloat16)
    program = trace(model, batch)
    with target.open("wb") as file:
        torch.export.save(program, file, extra_files={KEY: metadata.to_json()})


class TorchStep:
    """Runs a ``.pt2`` file.

    Args:
        path: the file.

    Raises:
        ExportError: it cannot be read, or could run code.
    """

    def __init__(self, path: Path) -> None:
        extra = {KEY: ""}
        if not zipfile.is_zipfile(path):  # torch would log a page about it
            raise ExportError(f"{path} cannot be read as a torch.export program: it is no archive")
        try:
            with path.open("rb") as file, quiet():
                check_contents(path)
                program = torch.export.load(file, extra_files=extra)
        except ExportError:
            raise
        except Exception as error:  # torch's reader of a damaged file fails in any way it likes
            raise ExportError(
                f"{path} cannot be read as a torch.export program ({type(error).__name__}: {error}); it is "
                "damaged, or of another version of torch; export the model again"
            ) from error
        self.metadata = Metadata.from_json(extra[KEY] or None, path)
        self.window_type = torch.bfloat16 if self.metadata.precision == "bf16" else torch.float32
        self.state_type = self.window_type
        self._module = program.module()
        self._inputs = input_names(self.metadata.config)
        self._outputs = output_names(self.metadata.config)

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run one step; names as in the metadata."""
        with torch.no_grad():
            outputs = self._module(*(inputs[name] for name in self._inputs))
        return dict(zip(self._outputs, outputs, strict=True))
