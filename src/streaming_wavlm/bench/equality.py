"""Whether a candidate computes what the eager step in float32 does, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..metrics import LayerAgreement

#: What each precision must reach: the largest relative error, or the lowest cosine, of any layer.
LARGEST_ERROR = {"fp32": 1e-5}
LOWEST_COSINE = {"bf16": 0.9998, "int8": 0.999}


@dataclass(frozen=True)
class Equality:
    """How a candidate's hidden states agree with the baseline's.

    Attributes:
        cosines: of each layer, the mean over frames.
        worst_frames: of each layer, the lowest cosine of a frame.
        errors: of each layer, the norm of the error over the norm of the features.
    """

    cosines: tuple[float, ...]
    worst_frames: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of(cls, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Equality:
        """Compare hidden states ``[layers, …, dim]`` with the baseline's."""
        agreement, worst = LayerAgreement(), []
        for layer, pair in enumerate(zip(ours, theirs, strict=True)):
            left, right = (torch.from_numpy(side).reshape(1, -1, side.shape[-1]).double() for side in pair)
            agreement.update(str(layer), left, right, torch.ones(left.shape[:2], dtype=torch.bool))
            worst.append(float(torch.cosine_similarity(left, right, dim=-1).min()))
        found = agreement.result().values()
        return cls(
            tuple(layer.cosine for layer in found),
            tuple(worst),
            tuple(layer.relative_error for layer in found),
        )

    def holds(self, precision: str) -> bool:
        """Return whether it is as equal as its precision must be."""
        if precision in LARGEST_ERROR:
            return max(self.errors) <= LARGEST_ERROR[precision]
        return min(self.cosines) >= LOWEST_COSINE[precision]

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "lowest_cosine": round(min(self.cosines), 7),
            "largest_error": float(f"{max(self.errors):.3g}"),
            "cosines": [round(value, 7) for value in self.cosines],
            "worst_frames": [round(value, 7) for value in self.worst_frames],
            "errors": [float(f"{value:.3g}") for value in self.errors],
        }
