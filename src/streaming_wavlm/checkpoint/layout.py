"""The published parameter names, and the shape that a config gives each of them."""

from __future__ import annotations

from streaming_wavlm.config import StreamingWavLMConfig

Shape = tuple[int, ...]


def expected_shapes(config: StreamingWavLMConfig) -> dict[str, Shape]:
    """Return the name and shape of every tensor in a checkpoint of ``config``."""
    shapes: dict[str, Shape] = {}

    def affine(name: str, weight: Shape, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = weight[:1]

    dim, channels = config.dim, 1
    for index, (width, kernel) in enumerate(zip(config.hidden_dims, config.kernel_sizes, strict=True)):
        layer = f"feature_extractor.layers.{index}"
        affine(f"{layer}.conv", (width, channels, kernel), bias=config.conv_bias)
        affine(f"{layer}.norm", (width,))
        channels = width
    affine("norm", (channels,))
    affine("feature_proj", (dim, channels))
    affine("encoder.positional_embedding.conv", (dim, dim // config.conv_pos_groups, config.conv_pos))
    shapes["encoder.relative_embedding.weight"] = (config.num_buckets, config.num_heads)
    for index in range(config.num_layers):
        layer = f"encoder.layers.{index}"
        affine(f"{layer}.attention_norm", (dim,))
        affine(f"{layer}.attention.qkv_proj", (3 * dim, dim))
        affine(f"{layer}.attention.out_proj", (dim, dim))
        affine(f"{layer}.attention.gru_rel_pos_linear", (8, dim // config.num_heads))
        shapes[f"{layer}.attention.gru_rel_pos_const"] = (1, config.num_heads, 1, 1)
        affine(f"{layer}.feed_forward_norm", (dim,))
        affine(f"{layer}.feed_forward.in_proj", (config.ffn_dim, dim))
        affine(f"{layer}.feed_forward.out_proj", (dim, config.ffn_dim))
    if config.final_norm:
        affine("encoder.norm", (dim,))
    return shapes
