"""Convolutions over streams: the left context of the next feed is the end of this one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import StreamingWavLMConfig


def with_left_context(inputs: Tensor, context: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """Put each stream's left context before its new inputs.

    Args:
        inputs: new inputs ``[batch, channels, steps]``, at least one step.
        context: the last inputs of the feed before ``[batch, channels, pad]``.
        fresh: bool ``[batch]``, True where the stream begins here: its context is its own first input,
            repeated.

    Returns:
        The inputs with their context ``[batch, channels, pad + steps]``, and the context of the next feed.
    """
    pad = context.shape[-1]
    if pad == 0:
        return inputs, context
    context = torch.where(fresh[:, None, None], inputs[..., :1], context)
    extended = torch.cat([context, inputs], dim=-1)
    return extended, extended[..., -pad:]


class ConvBlock(nn.Module):
    """One front-end layer: convolution, LayerNorm over channels, GELU."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, kernel, stride, bias=bias)
        self.norm = nn.LayerNorm(channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``[batch, in_channels, steps]`` to ``[batch, channels, (steps - kernel) // stride + 1]``."""
        outputs: Tensor = self.norm(self.conv(inputs).transpose(1, 2))
        return F.gelu(outputs).transpose(1, 2)


class FeatureExtractor(nn.Module):
    """The convolutional front-end: samples in, one vector per hop out."""

    def __init__(self, config: StreamingWavLMConfig) -> None:
        super().__init__()
        channels = (1, *config.hidden_dims)
        shapes = zip(channels, channels[1:], config.kernel_sizes, config.strides, strict=False)
        self.layers = nn.ModuleList(ConvBlock(*shape, bias=config.conv_bias) for shape in shapes)

    def forward(
        self, samples: Tensor, contexts: tuple[Tensor, ...], fresh: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the front-end over one feed.

        Args:
            samples: ``[batch, samples]``, a whole number of hops if the config is causal.
            contexts: the left context of each layer.
            fresh: bool ``[batch]``, True where the stream begins here.

        Returns:
            Features ``[batch, frames, channels]`` and the contexts of the next feed.
        """
        hidden = samples[:, None, :]
        following = []
        for layer, context in zip(self.layers, contexts, strict=True):
            extended, next_context = with_left_context(hidden, context, fresh)
            hidden = layer(extended)
            following.append(next_context)
        return hidden.transpose(1, 2), tuple(following)


class PositionalEmbedding(nn.Module):
    """The convolutional positional embedding, causal or centred."""

    def __init__(self, config: StreamingWavLMConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(config.dim, config.dim, config.conv_pos, groups=config.conv_pos_groups)

    def forward(self, inputs: Tensor, context: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the causal embedding of one feed.

        Args:
            inputs: ``[batch, frames, dim]``.
            context: the last inputs of the feed before ``[batch, dim, conv_pos - 1]``.
            fresh: bool ``[batch]``, True where the stream begins here.

        Returns:
            The embedding ``[batch, frames, dim]``, to be added to the inputs, and the next feed's context.
        """
        extended, context = with_left_context(inputs.transpose(1, 2), context, fresh)
        return F.gelu(self.conv(extended)).transpose(1, 2), context

    def centred(self, inputs: Tensor) -> Tensor:
        """Compute the embedding that looks both ways, as the offline WavLM does, ``[batch, frames, dim]``."""
        kernel = self.conv.kernel_size[0]
        padded = F.pad(inputs.transpose(1, 2), (kernel // 2, (kernel - 1) // 2))
        return F.gelu(self.conv(padded)).transpose(1, 2)
