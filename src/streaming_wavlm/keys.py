"""How the keys of a model config are spelt in the files people have."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigError

logger = logging.getLogger(__name__)

# Fields of other implementations that change how they compute, never what: accepted, and ignored with a note.
IGNORED_KEYS = ("max_cached_steps", "use_flex_attention")
SECTION = "wavlm"
PREFIX = "student_"


def flatten_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config fields of ``values`` under their plain names.

    Args:
        values: fields flat, nested under ``wavlm:``, or with the prefix ``student_``.

    Raises:
        ConfigError: ``values`` is no mapping, or gives one field twice.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"a model config must be a mapping of fields, got {type(values).__name__}")
    if SECTION in values:
        others = sorted(key for key in values if key != SECTION)
        if others:
            raise ConfigError(
                f"config has a {SECTION!r} section and, beside it, {', '.join(map(repr, others))}; "
                "put every field inside the section or none"
            )
        return flatten_keys(values[SECTION])
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).removeprefix(PREFIX)
        if name in IGNORED_KEYS:
            logger.info("config key %r has no effect here and is ignored", key)
            continue
        if name in flat:
            raise ConfigError(f"config gives {name!r} twice, once with the prefix {PREFIX!r}")
        flat[name] = value
    return flat


def nearest(key: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known key nearest to ``key``, or an empty string."""
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
