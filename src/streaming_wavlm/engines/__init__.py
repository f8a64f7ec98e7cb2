"""Engines: ways to run a causal model faster than its own modules do, behind the model's interface."""

from __future__ import annotations

from .base import Engine
from .linear import PRECISIONS, Precision
from .packed import PackedModel

__all__ = ["PRECISIONS", "Engine", "PackedModel", "Precision"]
