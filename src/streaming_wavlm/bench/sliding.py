"""What streaming replaces: an offline WavLM run again over a sliding window at every chunk."""

from __future__ import annotations

import time
from typing import Any

import torch

from ..config import StreamingWavLMConfig

WINDOW_SECONDS = 10


class SlidingSubject:
    """``transformers``' WavLMModel with random weights, of the same widths and depth.

    Args:
        config: fields of the streaming model's config.

    Raises:
        MissingDependencyError: transformers is not installed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        from ..distill.teachers.hub_models import import_transformers

        transformers = import_transformers()
        ours = StreamingWavLMConfig(**config)
        torch.manual_seed(0)
        self._model = transformers.WavLMModel(
            transformers.WavLMConfig(
                conv_dim=list(ours.hidden_dims),
                conv_kernel=list(ours.kernel_sizes),
                conv_stride=list(ours.strides),
                conv_bias=ours.conv_bias,
                hidden_size=ours.dim,
                num_hidden_layers=ours.num_layers,
                num_attention_heads=ours.num_heads,
                intermediate_size=ours.ffn_dim,
                num_conv_pos_embeddings=ours.conv_pos,
                num_conv_pos_embedding_groups=ours.conv_pos_groups,
                num_buckets=ours.num_buckets,
                max_bucket_distance=ours.max_distance,
                feat_extract_norm="layer",
                do_stable_layer_norm=True,
            )
        ).eval()
        self._window = torch.randn(1, WINDOW_SECONDS * 16_000) * 0.1

    @torch.inference_mode()
    def turn(self) -> list[float]:
        """Return the seconds of one pass over the window, all layers' features kept."""
        begin = time.perf_counter()
        self._model(self._window, output_hidden_states=True)
        return [time.perf_counter() - begin]
