"""A head from its description."""

from __future__ import annotations

from .config import HeadConfig
from .framewise import ActivityHead, FrameHead
from .head import Head
from .pooled import PooledHead

_KINDS: dict[str, type[Head]] = {"pooled": PooledHead, "frames": FrameHead, "activity": ActivityHead}


def build_head(config: HeadConfig) -> Head:
    """Return a head with random weights, in eval mode.

    Args:
        config: what it is.
    """
    return _KINDS[config.kind](config).eval().requires_grad_(False)
