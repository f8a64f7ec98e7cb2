"""Heads that listen to a stream: what a task's trained layers say of its features while they come.

A head is small layers in safetensors and a description in JSON; S3PRL is not needed to run one. It goes
through a stream chunk by chunk with a state that is a value, as the encoder does.
"""

from .build import build_head
from .config import HeadConfig, Slot
from .folder import EMBEDDED_HEADS, is_head, load_head, save_head
from .head import Decision, Head, HeadState
from .reader import HeadReader

__all__ = [
    "EMBEDDED_HEADS",
    "Decision",
    "Head",
    "HeadConfig",
    "HeadReader",
    "HeadState",
    "Slot",
    "build_head",
    "is_head",
    "load_head",
    "save_head",
]
