"""Engines: ways to run a causal model faster than its own modules do, behind the model's interface."""

from __future__ import annotations

from .auto import Choice, choose
from .available import ENGINES
from .base import Engine
from .linear import PRECISIONS, Precision
from .making import make_engine
from .packed import PackedModel

__all__ = ["ENGINES", "PRECISIONS", "Choice", "Engine", "PackedModel", "Precision", "choose", "make_engine"]
