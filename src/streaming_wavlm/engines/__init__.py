"""Engines: ways to run a causal model faster than its own modules do, behind the model's interface."""

from __future__ import annotations

from .auto import Choice, choose
from .available import ENGINES
from .base import Engine
from .linear import PRECISIONS, Precision
from .making import make_engine
from .memory import give_back_memory
from .packed import PackedModel

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Choice",
    "Engine",
    "PackedModel",
    "Precision",
    "choose",
    "give_back_memory",
    "make_engine",
]
