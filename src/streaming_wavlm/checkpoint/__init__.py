"""Checkpoints: files and folders on one side, a config and tensors on the other; no model is known here."""

from .architecture import read_architecture, some_of
from .bundle import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    find_weights,
    read_checkpoint,
    read_contents,
    reading,
)
from .card import is_random
from .check import WEIGHT_TYPES, check_tensors
from .download import HubOptions, download, first_line, hub_errors, is_hub_id, locate
from .folder import write_checkpoint
from .layout import expected_shapes
from .resolve import resolve_config
from .state_dict import find_state_dict, fold_weight_norm, published_names

__all__ = [
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "WEIGHT_TYPES",
    "Checkpoint",
    "HubOptions",
    "check_tensors",
    "download",
    "expected_shapes",
    "find_state_dict",
    "find_weights",
    "first_line",
    "fold_weight_norm",
    "hub_errors",
    "is_hub_id",
    "is_random",
    "locate",
    "published_names",
    "read_architecture",
    "read_checkpoint",
    "read_contents",
    "reading",
    "resolve_config",
    "some_of",
    "write_checkpoint",
]
