"""How the keys of a model config are spelt in the files people have."""

from __future__ import annotations

import difflib
import logging
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigError

logger = logging.getLogger(__name__)

# Fields of other implementations that change how they compute, never what: accepted, and ignored with a note.
IGNORED_KEYS = ("max_cached_steps", "use_flex_attention")
SECTION = "wavlm"
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 10
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxother = 200

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
        others = sorted(str(key) for key in values if key != SECTION)
        if others:
            raise ConfigError(
                f"config has a {SECTION!r} section and, beside it, {', '.join(map(repr, others))}; "
                "put every field inside the section or none"
            )
        inner = values[SECTION]
        if isinstance(inner, Mapping) and SECTION in inner:
            raise ConfigError(f"config has a {SECTION!r} section inside its {SECTION!r} section; keep one")
        return flatten_keys(inner)
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


def shown(value: Any) -> str:
    """Return a value as a message shows it: as Python writes it, a long or deep one cut."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a whole number of more digits than Python writes out
        return f"a long {type(value).__name__}"


def nearest(key: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known key nearest to ``key``, or an empty string."""
    close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
