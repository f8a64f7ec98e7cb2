"""``streaming_wavlm.convert``: an offline WavLM in the classes of the streaming one."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from torch import nn

from streaming_wavlm.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    HubOptions,
    download,
    locate,
    read_contents,
    reading,
)
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import ConfigError, UnsupportedCheckpointError
from streaming_wavlm.hub import build_model
from streaming_wavlm.model import StreamingWavLM

from .huggingface import PREPROCESSOR_FILE, WEIGHTS_FILES, read_folder, read_module
from .microsoft import read_original
from .offline import OfflineModel

logger = logging.getLogger(__name__)

STUDENT_LAYERS = 12
_STUDENT: dict[str, Any] = {
    "causal": True,
    "front_pad": "kernel-stride",
    "lookahead_size": 3,
    "window_size": 512,
}
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


def convert(
    source: str | os.PathLike[str] | nn.Module, *, num_layers: int | None = None, bidirectional: bool = False
) -> StreamingWavLM:
    """Make a streaming student's initialisation, or the bidirectional reference, of an offline WavLM.

    Args:
        source: a folder or hub id of transformers' WavLM, such a model in memory, or an original ``.pt`` with
            ``cfg`` and ``model``. Only the Large kind, with layer normalisation, can be converted.
        num_layers: how many layers to keep, from the first; by default 12 (or all, if there are fewer) for a
            student and all for the reference.
        bidirectional: give the reference, which computes what the original does, instead of the student.

    Returns:
        The model, in eval mode. The reference has the original's last LayerNorm if it has all its layers.

    Raises:
        UnsupportedCheckpointError: the model cannot be made streaming; the message has the reason.
        CheckpointError: the checkpoint is missing, damaged, unsafe or incomplete.
        ConfigError: ``num_layers`` is not a number of layers that it has.
    """
    offline = read_module(source) if isinstance(source, nn.Module) else _read(source)
    whole = _possible(offline)
    layers = whole.num_layers
    keep = (layers if bidirectional else min(STUDENT_LAYERS, layers)) if num_layers is None else num_layers
    if not isinstance(keep, int) or not 1 <= keep <= layers:
        raise ConfigError(
            f"num_layers must be from 1 to {layers}, the layers of {offline.source}; got {keep!r}"
        )
    final_norm = bidirectional and keep == layers
    if bidirectional:
        config = whole.replace(num_layers=keep, final_norm=final_norm)
        if "normalize" in offline.assumed:
            logger.warning("%s does not say whether it wants normalised audio; assuming not", offline.source)
    else:
        # The student hears the raw waveform: normalising needs the whole recording.
        config = whole.replace(num_layers=keep, normalize=False, **_STUDENT)
    checkpoint = Checkpoint(
        tensors={name: tensor for name, tensor in offline.tensors.items() if _kept(name, keep, final_norm)},
        source=offline.source,
        fields=config.to_dict(),
        provenance={
            "weights": "converted",
            **offline.provenance,
            "purpose": "bidirectional reference" if bidirectional else "student initialisation",
            "layers": f"first {keep} of {layers}",
        },
        defaults=offline.assumed if bidirectional else (),
    )
    return build_model(StreamingWavLM, checkpoint)


def _read(source: str | os.PathLike[str]) -> OfflineModel:
    files = (CONFIG_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE)
    path = locate(source, files=files)
    name = os.fspath(source)
    with reading(path):
        if path.is_file():
            return read_original(read_contents(path)[0], path.name, path.stat().st_size)
        fetched = not Path(source).expanduser().exists()
        if fetched and not (path / WEIGHTS_FILE).is_file():
            path = download(name, HubOptions(), (*files, *WEIGHTS_FILES))
        return read_folder(path, name if fetched else path.resolve().name)


def _kept(name: str, layers: int, final_norm: bool) -> bool:
    if name.startswith("encoder.norm."):
        return final_norm
    match = _LAYER.match(name)
    return match is None or int(match[1]) < layers


def _possible(offline: OfflineModel) -> StreamingWavLMConfig:
    try:
        return StreamingWavLMConfig(causal=False, front_pad="valid", **offline.fields)
    except ConfigError as error:
        raise UnsupportedCheckpointError(f"{offline.source} cannot be converted: {error}") from error
