"""The convolutions as matrix products over rows that overlap in memory: time first, nothing unfolded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..conv import ConvBlock, FeatureExtractor, PositionalEmbedding
from .linear import Arithmetic, Product


class PackedConv:
    """One front-end layer: convolution, LayerNorm over channels, GELU.

    Args:
        block: the layer.
        arithmetic: its types; the product is in the narrow one.
        rows: outputs of a usual feed.
    """

    def __init__(self, block: ConvBlock, arithmetic: Arithmetic, rows: int) -> None:
        conv = block.conv
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.channels = conv.in_channels
        kind = arithmetic.narrow
        weight = conv.weight.detach().permute(0, 2, 1).flatten(1).to(kind)
        bias = None if conv.bias is None else conv.bias.detach().to(kind)
        self._product = Product(weight, bias, rows, plain=arithmetic.plain)
        self._norm = (
            block.norm.weight.detach().to(kind, copy=True),
            block.norm.bias.detach().to(kind, copy=True),
        )

    def __call__(self, inputs: Tensor, out: Tensor) -> None:
        """Run the layer.

        Args:
            inputs: with their left context, ``[batch, steps, channels]``, contiguous.
            out: where the result goes, ``[batch, rows, width]``.
        """
        batch, steps, channels = inputs.shape
        rows = (steps - self.kernel) // self.stride + 1
        windows = inputs.as_strided(
            (batch, rows, self.kernel * channels), (steps * channels, self.stride * channels, 1)
        )
        # A single stream's rows overlap without gaps: the product reads them where they are.
        flat = windows[0] if batch == 1 and channels > 1 else windows.reshape(batch * rows, -1)
        hidden = self._product(flat)
        hidden = F.layer_norm(hidden, (hidden.shape[1],), *self._norm)
        if out.is_contiguous():
            torch.ops.aten.gelu.out(hidden.view(out.shape), out=out)
        else:
            out.copy_(F.gelu(hidden).view(out.shape))


class PackedFrontEnd:
    """The convolutional front end.

    Args:
        extractor: the model's.
        arithmetic: its types.
        frames: of a usual feed.
    """

    def __init__(self, extractor: FeatureExtractor, arithmetic: Arithmetic, frames: int) -> None:
        self._dtype = arithmetic.narrow
        blocks = [block for block in extractor.layers if isinstance(block, ConvBlock)]
        self._hop = 1
        for block in blocks:
            self._hop *= block.conv.stride[0]
        self._layers = []
        steps = frames * self._hop
        for block in blocks:
            steps //= block.conv.stride[0]
            self._layers.append(PackedConv(block, arithmetic, steps))
        self._width = blocks[-1].conv.out_channels

    def __call__(
        self, samples: Tensor, contexts: Sequence[Sequence[Tensor]], fresh: Sequence[bool]
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """Run the front end over one feed.

        Args:
            samples: ``[batch, hops * 320]``.
            contexts: the left context ``[pad, channels]`` of each layer, for each row.
            fresh: whether each row's stream begins here.

        Returns:
            Features ``[batch, hops, channels]``, and each row's contexts of the next feed.
        """
        batch, steps = samples.shape
        following: list[list[Tensor]] = [[] for _ in range(batch)]
        pads = [context.shape[0] for context in contexts[0]]
        buffer = samples.new_empty(batch, pads[0] + steps, 1, dtype=self._dtype)
        buffer[:, pads[0] :, 0] = samples
        for number, layer in enumerate(self._layers):
            pad = pads[number]
            for row in range(batch):
                if pad:
                    buffer[row, :pad] = buffer[row, pad] if fresh[row] else contexts[row][number]
                following[row].append(buffer[row, buffer.shape[1] - pad :].clone())
            steps //= layer.stride
            last = number + 1 == len(self._layers)
            width = self._width if last else self._layers[number + 1].channels
            ahead = 0 if last else pads[number + 1]
            outputs = buffer.new_empty(batch, ahead + steps, width)
            layer(buffer, outputs[:, ahead:])
            buffer = outputs
        return buffer, [tuple(row) for row in following]


class PackedPositional:
    """The causal convolutional positional embedding.

    Args:
        embedding: the model's.
        dtype: of the products, and of what goes in and comes out.
    """

    def __init__(self, embedding: PositionalEmbedding, dtype: torch.dtype) -> None:
        conv = embedding.conv
        self._groups, self._kernel = conv.groups, conv.kernel_size[0]
        width = conv.out_channels // conv.groups
        weight = conv.weight.detach().view(conv.groups, width, -1, self._kernel)
        # [groups, kernel * inputs, outputs]
        self._weight = weight.permute(0, 3, 2, 1).flatten(1, 2).to(dtype, copy=True).contiguous()
        self._bias = None
        if conv.bias is not None:
            self._bias = conv.bias.detach().to(dtype, copy=True).view(conv.groups, 1, width)

    def __call__(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Embed one stream's feed.

        Args:
            inputs: ``[frames, dim]``.
            context: the inputs before, ``[kernel - 1, dim]``.

        Returns:
            The embedding ``[frames, dim]`` and the next feed's context.
        """
        frames, dim = inputs.shape
        extended = torch.cat([context, inputs])
        steps, width = len(extended), dim // self._groups
        grouped = extended.view(steps, self._groups, width).transpose(0, 1).contiguous()
        windows = grouped.as_strided((self._groups, frames, self._kernel * width), (steps * width, width, 1))
        if self._bias is None:
            outputs = torch.bmm(windows, self._weight)
        else:
            outputs = torch.baddbmm(self._bias, windows, self._weight)
        return F.gelu(outputs).transpose(0, 1).reshape(frames, dim), extended[frames:].clone()
