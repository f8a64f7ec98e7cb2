"""Small models of the same classes, for tests that run in milliseconds."""

from __future__ import annotations

from typing import Any

import torch

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.model import StreamingWavLM

TINY: dict[str, Any] = {
    "hidden_dims": (8,) * 7,
    "num_layers": 2,
    "dim": 16,
    "ffn_dim": 32,
    "num_heads": 2,
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "num_buckets": 32,
    "max_distance": 64,
    "window_size": 32,
}


def tiny_config(**changes: Any) -> StreamingWavLMConfig:
    return StreamingWavLMConfig(**{**TINY, **changes})


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> StreamingWavLM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return StreamingWavLM(tiny_config(**changes)).to(dtype).eval()


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype) * 0.3


def worst(ours: Any, theirs: Any) -> float:
    """The largest difference between two sequences of hidden states of equal shapes."""
    pairs = list(zip(ours, theirs, strict=True))
    assert all(a.shape == b.shape for a, b in pairs), [(a.shape, b.shape) for a, b in pairs]
    return max((float((a - b).detach().abs().max()) for a, b in pairs if a.numel()), default=0.0)
