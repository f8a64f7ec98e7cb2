"""Small random speech models of transformers' classes, and a speaker encoder, for tests of the teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from offline_models import import_transformers, stirred

_SMALL = {
    "conv_dim": [16] * 7,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "apply_spec_augment": False,
}
LARGE_KIND = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
BASE_KIND = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
FAMILIES = ("WavLM", "Hubert", "Wav2Vec2")


def waveform_model(family: str, seed: int = 0, **changes: Any) -> nn.Module:
    transformers = import_transformers()
    config = getattr(transformers, f"{family}Config")(**{**_SMALL, **LARGE_KIND, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return stirred(getattr(transformers, f"{family}Model")(config).eval())


def whisper_config(**changes: Any) -> Any:
    settings = {
        "d_model": 16,
        "encoder_layers": 3,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "num_mel_bins": 20,
        "max_source_positions": 100,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "vocab_size": 10,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }
    return import_transformers().WhisperConfig(**{**settings, **changes})


def whisper_encoder(seed: int = 0, **changes: Any) -> nn.Module:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return stirred(WhisperEncoder(whisper_config(**changes)).eval())


def saved(model: nn.Module, folder: Path, **preprocessor: Any) -> str:
    """Save a model as transformers does; with settings, its preprocessor's beside it."""
    model.save_pretrained(folder)
    if preprocessor:
        import_transformers().Wav2Vec2FeatureExtractor(**preprocessor).save_pretrained(folder)
    return str(folder)


def speaker_tensors(seed: int = 0, hidden: int = 12, dim: int = 6) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = nn.ModuleDict(
            {"lstm": nn.LSTM(40, hidden, 2, batch_first=True), "linear": nn.Linear(hidden, dim)}
        )
        return {**parts.state_dict(), "similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
