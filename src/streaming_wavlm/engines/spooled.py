"""A model on disk, for engines that have their own copy of the weights and seldom need these again."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import torch

from ..config import StreamingWavLMConfig
from ..errors import EngineError
from ..model import StreamingWavLM


class SpooledModel:
    """A model's weights in a temporary file, which goes when this object does.

    Args:
        model: the model, which need not stay in memory.

    Raises:
        EngineError: the file cannot be written.
    """

    def __init__(self, model: StreamingWavLM) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        self._config = model.config
        self._provenance, self._defaults = dict(model.provenance), model.defaults
        folder = Path(tempfile.mkdtemp(prefix="streaming-wavlm-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._file = folder / "weights.safetensors"
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        try:
            save_file(tensors, self._file)
        except (OSError, SafetensorError) as error:
            raise EngineError(
                f"the engine cannot put the model's weights into {folder}: {error}; make room, or set TMPDIR"
            ) from error

    def load(self, chunk_ms: int) -> StreamingWavLM:
        """Return the model, in eval mode, with a chunk size.

        Raises:
            ConfigError: the chunk is no multiple of the hop.
        """
        from safetensors.torch import load_file

        config: StreamingWavLMConfig = self._config.replace(chunk_ms=chunk_ms)
        with torch.device("meta"):
            model = StreamingWavLM(config)
        model.load_state_dict(load_file(self._file), assign=True)
        model.provenance, model.defaults = dict(self._provenance), self._defaults
        return model.requires_grad_(False).eval()
