"""Random tensors in the published layout, without any model."""

from __future__ import annotations

from typing import Any

import torch

from streaming_wavlm.checkpoint import expected_shapes
from tiny import tiny_config


def random_weights(seed: int = 0, **changes: Any) -> dict[str, torch.Tensor]:
    """The tensors of a tiny checkpoint; ``changes`` are config fields."""
    generator = torch.Generator().manual_seed(seed)
    shapes = expected_shapes(tiny_config(**changes))
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}
