"""The convolutions as matrix products over rows that overlap in memory: time first, nothing unfolded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..conv import ConvBlock, FeatureExtractor, PositionalEmbedding
from .linear import Arithmetic, Product

# From so many rows on, a product for each stream is as good as one for all of them, and need not unfold.
_MANY = 80


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
        if rows >= _MANY and channels > 1:
            # Rows overlap without gaps within a stream: the product reads them where they are.
            hidden = torch.cat([self._product(window) for window in windows])
        else:
            hidden = self._product(windows.reshape(batch * rows, -1))
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
    """The causal convolutional positional embedding, group by group.

    Args:
        embedding: the model's.
        arithmetic: its types; the products are in the narrow one.
        rows: frames of a usual feed.
    """

    def __init__(self, embedding: PositionalEmbedding, arithmetic: Arithmetic, rows: int) -> None:
        conv = embedding.conv
        self._groups, self._kernel = conv.groups, conv.kernel_size[0]
        kind = arithmetic.narrow
        # [groups, outputs, kernel * inputs]
        weight = conv.weight.detach().to(kind)
        weight = weight.view(self._groups, -1, *weight.shape[1:]).transpose(2, 3).flatten(2)
        biases: list[Tensor | None] = [None] * self._groups
        if conv.bias is not None:
            biases = list(conv.bias.detach().to(kind).view(self._groups, -1))
        self._products = [
            Product(group, bias, rows, gelu=True, plain=arithmetic.plain)
            for group, bias in zip(weight, biases, strict=True)
        ]

    def __call__(
        self, inputs: Tensor, contexts: Sequence[Tensor], fresh: Sequence[bool]
    ) -> tuple[Tensor, list[Tensor]]:
        """Embed one feed.

        Args:
            inputs: ``[batch, frames, dim]``.
            contexts: the inputs before, ``[kernel - 1, dim]`` for each row.
            fresh: whether each row's stream begins here.

        Returns:
            The embedding ``[batch, frames, dim]``, and each row's context of the next feed.
        """
        batch, frames, dim = inputs.shape
        width, steps = dim // self._groups, self._kernel - 1 + frames
        extended = inputs.new_empty(batch, steps, dim)
        for row in range(batch):
            extended[row, : self._kernel - 1] = inputs[row, 0] if fresh[row] else contexts[row]
        extended[:, self._kernel - 1 :] = inputs
        grouped = extended.view(batch, steps, self._groups, width).permute(2, 0, 1, 3).contiguous()
        windows = grouped.as_strided(
            (self._groups, batch, frames, self._kernel * width),
            (batch * steps * width, steps * width, width, 1),
        )
        embedding = torch.cat(
            [
                product(group.reshape(batch * frames, -1))
                for product, group in zip(self._products, windows, strict=True)
            ],
            dim=1,
        )
        return embedding.view(batch, frames, dim), [row[frames:].clone() for row in extended]
