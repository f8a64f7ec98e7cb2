"""Small random offline WavLMs of the Large kind, as transformers and as the original code build them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import nn

CONVS = "[(24,10,5)] + [(24,3,2)] * 4 + [(24,2,2)] * 2"


def import_transformers() -> ModuleType:
    """Import transformers as if torchaudio were absent: where it is installed, it need not import."""
    import transformers
    import transformers.utils

    with mock.patch.object(transformers.utils, "is_torchaudio_available", return_value=False):
        import transformers.audio_utils
    return transformers


def huggingface_model(seed: int = 0, **changes: Any) -> nn.Module:
    transformers = import_transformers()
    settings = {
        "conv_dim": [24] * 7,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "num_buckets": 32,
        "max_bucket_distance": 60,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "apply_spec_augment": False,
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return stirred(transformers.WavLMModel(transformers.WavLMConfig(**settings)).eval())


def original_model(seed: int = 0, **changes: Any) -> tuple[nn.Module, dict[str, Any]]:
    from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig

    cfg = {
        "extractor_mode": "layer_norm",
        "encoder_layers": 4,
        "encoder_embed_dim": 32,
        "encoder_ffn_embed_dim": 48,
        "encoder_attention_heads": 4,
        "layer_norm_first": True,
        "conv_feature_layers": CONVS,
        "conv_pos": 16,
        "conv_pos_groups": 4,
        "relative_position_embedding": True,
        "num_buckets": 32,
        "max_distance": 60,
        "gru_rel_pos": True,
        "normalize": True,
        "feature_grad_mult": 1.0,
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return stirred(WavLM(WavLMConfig(cfg)).eval()), cfg


def save_original(path: Path, **changes: Any) -> nn.Module:
    """Write a ``.pt`` with ``cfg`` and ``model``, as the original checkpoints are."""
    model, cfg = original_model(**changes)
    torch.save({"cfg": cfg, "model": model.state_dict()}, path)
    return model


def stirred(model: nn.Module) -> nn.Module:
    """Move every parameter off its initial value: zeros and ones would hide one that went astray."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.5 if "rel" in name or "grep" in name else 0.1
            parameter.add_(torch.randn_like(parameter) * spread)
    return model
