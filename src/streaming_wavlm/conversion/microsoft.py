"""Reading the original WavLM checkpoints: a ``.pt`` with ``cfg`` and ``model``."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from streaming_wavlm.checkpoint import find_state_dict, fold_weight_norm, some_of
from streaming_wavlm.errors import CheckpointMismatchError, UnsupportedCheckpointError

from .offline import GROUP_NORM, POST_NORM, OfflineModel, rename, require

# What the original takes for a setting that cfg leaves out, of those read here.
_DEFAULTS: dict[str, Any] = {
    "extractor_mode": "default",
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "conv_feature_layers": "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2",
    "conv_bias": False,
    "normalize": False,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "relative_position_embedding": False,
    "num_buckets": 320,
    "max_distance": 1280,
    "gru_rel_pos": False,
}
_WANTED = {
    "extractor_mode": ("layer_norm", GROUP_NORM),
    "layer_norm_first": (True, POST_NORM),
    "activation_fn": ("gelu", "the streaming encoder has GELU"),
    "relative_position_embedding": (True, "the streaming encoder needs the relative position embedding"),
    "gru_rel_pos": (True, "the streaming encoder gates the relative position bias"),
}
_FIELDS = {
    "num_layers": "encoder_layers",
    "dim": "encoder_embed_dim",
    "ffn_dim": "encoder_ffn_embed_dim",
    "num_heads": "encoder_attention_heads",
    "num_buckets": "num_buckets",
    "max_distance": "max_distance",
    "conv_pos": "conv_pos",
    "conv_pos_groups": "conv_pos_groups",
    "conv_bias": "conv_bias",
    "normalize": "normalize",
}
_RULES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(\w+)", r"feature_extractor.layers.\1.conv.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.1\.(\w+)", r"feature_extractor.layers.\1.norm.\2"),
    (r"layer_norm\.(\w+)", r"norm.\1"),
    (r"post_extract_proj\.(\w+)", r"feature_proj.\1"),
    (r"encoder\.pos_conv\.0\.(\w+)", r"encoder.positional_embedding.conv.\1"),
    (r"encoder\.layer_norm\.(\w+)", r"encoder.norm.\1"),
    (r"encoder\.layers\.0\.self_attn\.relative_attention_bias\.weight", r"encoder.relative_embedding.weight"),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.grep_linear\.(\w+)",
        r"encoder.layers.\1.attention.gru_rel_pos_linear.\2",
    ),
    (r"encoder\.layers\.(\d+)\.self_attn\.grep_a", r"encoder.layers.\1.attention.gru_rel_pos_const"),
    (r"encoder\.layers\.(\d+)\.self_attn\.(\w+)\.(\w+)", r"encoder.layers.\1.attention.\2.\3"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(\w+)", r"encoder.layers.\1.feed_forward_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(\w+)", r"encoder.layers.\1.feed_forward.in_proj.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(\w+)", r"encoder.layers.\1.feed_forward.out_proj.\2"),
)
_MOST_LAYERS = 64
_UNUSED = r"mask_emb|label_embs_concat|(final_proj|target_glu)\..*"


def read_original(contents: Any, name: str, size: int | None = None) -> OfflineModel:
    """Put an original checkpoint into our words.

    Args:
        contents: what the file held.
        name: the file's name.
        size: the file's length in bytes, to hold the tensors against.

    Raises:
        CheckpointCorruptError: the tensors claim more than the file holds.
        CheckpointMismatchError: it is not a dict with ``cfg`` and ``model``.
        UnsupportedCheckpointError: the model cannot be converted.
    """
    held = dict(contents) if isinstance(contents, Mapping) else {}
    cfg = held.get("cfg")
    settings = vars(cfg) if isinstance(cfg, argparse.Namespace) else cfg
    if not isinstance(settings, Mapping) or "model" not in held:
        raise CheckpointMismatchError(
            f"{name} is not an original WavLM checkpoint: expected a dict with 'cfg' and 'model', found a "
            f"{type(contents).__name__} with {some_of(list(held))}; for a transformers checkpoint give its "
            "folder, config.json and all"
        )
    settings = _DEFAULTS | dict(settings)
    require(settings, _WANTED, name)
    tensors: dict[str, Tensor] = find_state_dict(contents["model"], f"{name} [model]", size)
    if "post_extract_proj.weight" not in tensors:
        raise UnsupportedCheckpointError(
            f"{name} cannot be converted: it has no post_extract_proj between front-end and transformer, "
            "which the streaming encoder has; expected front-end and transformer of different widths"
        )
    widths, kernels, strides = zip(*parse_conv_layers(settings["conv_feature_layers"], name), strict=True)
    fields = {ours: settings[theirs] for ours, theirs in _FIELDS.items()}
    fields |= {"hidden_dims": widths, "kernel_sizes": kernels, "strides": strides}
    return OfflineModel(
        tensors=rename(fold_weight_norm(tensors, name), _RULES, _UNUSED, name),
        fields=fields,
        provenance={"converted_from": name, "format": "original"},
        source=name,
    )


def parse_conv_layers(text: Any, name: str) -> list[tuple[int, int, int]]:
    """Return the front-end's (channels, kernel, stride) from text such as ``[(512,10,5)] + [(512,3,2)] * 4``.

    The original evaluates this text as Python; here it is only lists, ``+`` and ``*``.

    Raises:
        UnsupportedCheckpointError: it is anything else.
    """
    try:
        layers = _evaluate(ast.parse(str(text), mode="eval").body)
        if layers and all(
            len(layer) == 3 and all(isinstance(size, int) for size in layer) for layer in layers
        ):
            return layers
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        pass
    raise UnsupportedCheckpointError(
        f"{name} cannot be converted: cfg.conv_feature_layers is {str(text)[:200]!r}; "
        "expected lists of (channels, kernel, stride) such as '[(512,10,5)] + [(512,3,2)] * 4'"
    )


def _evaluate(node: ast.expr) -> list[tuple[int, int, int]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        layers = _evaluate(node.left) + _evaluate(node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        layers = _evaluate(node.left) * min(int(ast.literal_eval(node.right)), _MOST_LAYERS + 1)
    else:
        layers = ast.literal_eval(node)
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise ValueError(layers)
    return layers
