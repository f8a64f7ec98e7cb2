"""What the frames of an encoder hear: the samples behind each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import StreamingWavLMConfig
from ..errors import ConfigError


@dataclass(frozen=True)
class FrameGeometry:
    """Where the frames of an encoder's front-end lie on the samples.

    Frame ``t`` hears the samples from ``first + t * hop`` to ``first + t * hop + width - 1``; negative ones
    lie before the recording. What a transformer gathers from other frames does not count.

    Attributes:
        first: the first sample that frame 0 hears.
        hop: samples from one frame to the next.
        width: samples that one frame hears.

    Raises:
        ConfigError: the hop or the width is no positive number.
    """

    first: float
    hop: int
    width: int

    def __post_init__(self) -> None:
        if self.hop < 1 or self.width < 1:
            raise ConfigError(f"hop and width must be positive, got {self.hop} and {self.width} samples")

    def end(self, frame: int) -> float:
        """Return the first sample after those that a frame hears."""
        return self.first + frame * self.hop + self.width


def student_geometry(config: StreamingWavLMConfig) -> FrameGeometry:
    """Return what the frames of our encoder hear, causal or bidirectional."""
    return conv_geometry(config.kernel_sizes, config.strides, config.front_pads)


def conv_geometry(
    kernels: Sequence[int], strides: Sequence[int], left_pads: Sequence[int] | None = None
) -> FrameGeometry:
    """Return what the outputs of stacked convolutions over samples hear.

    Args:
        kernels: kernel of each convolution, in its input's steps.
        strides: stride of each convolution.
        left_pads: steps that each convolution adds on the left; none when None.
    """
    first, hop, width = 0, 1, 1
    for kernel, stride, pad in zip(kernels, strides, left_pads or (0,) * len(kernels), strict=True):
        first -= pad * hop
        width += (kernel - 1) * hop
        hop *= stride
    return FrameGeometry(first, hop, width)
