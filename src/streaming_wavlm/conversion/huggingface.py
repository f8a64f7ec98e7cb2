"""Reading transformers' WavLM: its folder, or the model in memory. transformers itself is not needed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from streaming_wavlm.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    find_state_dict,
    find_weights,
    fold_weight_norm,
    read_contents,
)
from streaming_wavlm.errors import CheckpointCorruptError, CheckpointNotFoundError, UnsupportedCheckpointError

from .offline import GROUP_NORM, POST_NORM, OfflineModel, rename, require

logger = logging.getLogger(__name__)

PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILES = (WEIGHTS_FILE, "pytorch_model.bin")

# What transformers takes for a setting that config.json leaves out, of those read here.
_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": (512,) * 7,
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "num_buckets": 320,
    "max_bucket_distance": 800,
    "do_stable_layer_norm": False,
    "add_adapter": False,
}
_WANTED = {
    "feat_extract_norm": ("layer", GROUP_NORM),
    "do_stable_layer_norm": (True, POST_NORM),
    "hidden_act": ("gelu", "the streaming encoder has GELU"),
    "feat_extract_activation": ("gelu", "the streaming encoder has GELU"),
    "add_adapter": (False, "the adapter changes the frame rate; drop it first"),
    "layer_norm_eps": (1e-5, "the streaming encoder's LayerNorm has this epsilon"),
}
_FIELDS = {
    "hidden_dims": "conv_dim",
    "kernel_sizes": "conv_kernel",
    "strides": "conv_stride",
    "num_layers": "num_hidden_layers",
    "dim": "hidden_size",
    "ffn_dim": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_buckets": "num_buckets",
    "max_distance": "max_bucket_distance",
    "conv_pos": "num_conv_pos_embeddings",
    "conv_pos_groups": "num_conv_pos_embedding_groups",
    "conv_bias": "conv_bias",
}
_RULES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.conv\.(\w+)", r"feature_extractor.layers.\1.conv.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.layer_norm\.(\w+)", r"feature_extractor.layers.\1.norm.\2"),
    (r"feature_projection\.layer_norm\.(\w+)", r"norm.\1"),
    (r"feature_projection\.projection\.(\w+)", r"feature_proj.\1"),
    (r"encoder\.pos_conv_embed\.conv\.(\w+)", r"encoder.positional_embedding.conv.\1"),
    (r"encoder\.layer_norm\.(\w+)", r"encoder.norm.\1"),
    (r"encoder\.layers\.0\.attention\.rel_attn_embed\.weight", r"encoder.relative_embedding.weight"),
    (r"encoder\.layers\.(\d+)\.layer_norm\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(\w+)", r"encoder.layers.\1.feed_forward_norm.\2"),
    (
        r"encoder\.layers\.(\d+)\.feed_forward\.intermediate_dense\.(\w+)",
        r"encoder.layers.\1.feed_forward.in_proj.\2",
    ),
    (
        r"encoder\.layers\.(\d+)\.feed_forward\.output_dense\.(\w+)",
        r"encoder.layers.\1.feed_forward.out_proj.\2",
    ),
)


def read_folder(folder: Path, name: str) -> OfflineModel:
    """Read a folder that transformers saved.

    Args:
        folder: with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.
        name: what the user calls it.

    Raises:
        CheckpointError: a file is missing or damaged, or it is no WavLM that can be converted.
    """
    settings = _read_json(folder / CONFIG_FILE)
    if settings is None:
        raise CheckpointNotFoundError(
            f"the folder {name!r} has no {CONFIG_FILE}; expected a WavLM that transformers saved"
        )
    if settings.get("model_type") == "streaming_wavlm":
        raise UnsupportedCheckpointError(
            f"{name} is a streaming WavLM already; streaming_wavlm.load reads it"
        )
    _check_type(settings, name)
    weights = find_weights(folder, WEIGHTS_FILES)
    contents, _ = read_contents(weights)
    preprocessor = _read_json(folder / PREPROCESSOR_FILE)
    normalize = None if preprocessor is None else bool(preprocessor.get("do_normalize", False))
    return from_parts(
        settings, find_state_dict(contents, str(weights), weights.stat().st_size), name, normalize
    )


def read_module(model: nn.Module) -> OfflineModel:
    """Read a transformers model in memory: ``WavLMModel``, or one with a head.

    Raises:
        CheckpointError: it is no WavLM that can be converted.
    """
    name = type(model).__name__
    to_dict = getattr(getattr(model, "config", None), "to_dict", None)
    settings = to_dict() if callable(to_dict) else {}
    _check_type(settings, name)
    return from_parts(settings, model.state_dict(), name, None)


def from_parts(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str, normalize: bool | None
) -> OfflineModel:
    """Put transformers' settings and weights into our words.

    Args:
        settings: the contents of ``config.json``.
        tensors: the state dict, with or without heads beside ``wavlm.``.
        name: the checkpoint's name.
        normalize: whether it wants normalised audio; None if its files do not say.

    Raises:
        UnsupportedCheckpointError: it is no WavLM that can be converted.
    """
    settings = _DEFAULTS | dict(settings)
    require(settings, _WANTED, name)
    inside = {key.removeprefix("wavlm."): value for key, value in tensors.items() if key.startswith("wavlm.")}
    heads = sorted({key.split(".")[0] for key in tensors if not key.startswith("wavlm.")}) if inside else []
    if heads:
        logger.info("%s: leaving out what is not the encoder: %s", name, ", ".join(heads))
    folded = fold_weight_norm(inside or dict(tensors), name)
    fields = {ours: settings[theirs] for ours, theirs in _FIELDS.items()}
    fields["normalize"] = bool(normalize)
    return OfflineModel(
        tensors=rename(folded, _RULES, "masked_spec_embed", name),
        fields=fields,
        provenance={"converted_from": name, "format": "transformers"},
        source=name,
        assumed=("normalize",) if normalize is None else (),
    )


def _check_type(settings: Mapping[str, Any], name: str) -> None:
    found = settings.get("model_type")
    if found != "wavlm":
        raise UnsupportedCheckpointError(
            f"{name} cannot be converted: its model_type is {found!r}, expected 'wavlm'; only a WavLM has "
            "the gated relative position bias that the streaming encoder is built on"
        )


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointCorruptError(
            f"{path} is no sound JSON ({error}); download or copy it again"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointCorruptError(f"{path} should hold a JSON object and holds a {type(values).__name__}")
    return values
