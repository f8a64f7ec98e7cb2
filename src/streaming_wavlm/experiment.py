"""Experiments: typed dataclasses filled from YAML and ``key=value`` words; an unknown key is an error."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from .config_file import parse_text
from .errors import ConfigError, UnknownKeyError
from .keys import nearest

ExperimentT = TypeVar("ExperimentT")

# YAML reads 1e-4 as text: a number needs a dot there, and nobody writes one.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_values(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: the file is missing, is no YAML, gives a key twice, or holds something else.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the recipe {str(path)!r} cannot be read: {reason}") from error
    return dict(parse_text(text, str(path), kind="recipe", example="steps: 1000"))


def override(values: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Return ``values`` with some of them replaced.

    Args:
        values: nested mappings and lists, as YAML gives them; not changed.
        words: ``key=value`` each; the key's parts are joined by dots, a number indexes a list, and the value
            is YAML: ``optimiser.lr=3e-4``, ``teachers.0.source=path``, ``data.sources=[]``.

    Raises:
        ConfigError: a word has no ``=``, its value is no YAML, or its key leads through something that is
            neither a mapping nor a list.
    """
    result: Any = dict(values)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{word!r} is no override; write key=value, such as optimiser.lr=3e-4")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of the override {word!r} is no YAML: {error}") from error
        result = _replaced(result, key.split("."), value, word)
    return dict(result)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on top: mappings are merged at every depth, all else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def build(kind: type[ExperimentT], values: Mapping[str, Any], where: str = "recipe") -> ExperimentT:
    """Fill a dataclass, nested ones included, checking every key and type.

    Args:
        kind: the dataclass.
        values: its fields as YAML gives them; those with defaults may be missing.
        where: what the values are, the start of every message.

    Raises:
        UnknownKeyError: a key names no field; the message offers the nearest.
        ConfigError: a field is missing, has a value of another type, or is refused by the dataclass itself.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping of fields, got {type(values).__name__} {values!r}")
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    for key in values:
        if key not in hints:
            raise UnknownKeyError(
                f"{where} has the key {key!r}, which is no field{nearest(str(key), hints)}; "
                f"the fields are {', '.join(hints)}"
            )
    given = {key: _converted(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    missing = [field.name for field in _init_fields(kind) if _is_required(field) and field.name not in given]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(map(repr, missing))}")
    try:
        return kind(**given)
    except ConfigError as error:
        raise type(error)(f"{where}: {error}") from error


def to_values(value: Any) -> Any:
    """Return a dataclass as plain mappings, lists and scalars, ready for YAML and JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_values(getattr(value, field.name)) for field in _init_fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_values(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_yaml(value: Any) -> str:
    """Return a dataclass as YAML text that :func:`build` reads back as its equal."""
    text: str = yaml.safe_dump(to_values(value), sort_keys=False, allow_unicode=True, width=110)
    return text


def differences(before: Any, after: Any, where: str = "") -> dict[str, tuple[Any, Any]]:
    """Return what differs between two plain values: dotted key → (before, after).

    Args:
        before: nested mappings, lists and scalars.
        after: the same, later.
        where: the key that leads here.
    """
    missing = "(absent)"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys: list[Any] = list(dict.fromkeys((*before, *after)))
        pairs = [(str(key), before.get(key, missing), after.get(key, missing)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(before, after, strict=True))]
    else:
        return {} if before == after and type(before) is type(after) else {where: (before, after)}
    found: dict[str, tuple[Any, Any]] = {}
    for key, old, new in pairs:
        found.update(differences(old, new, f"{where}.{key}" if where else key))
    return found


def _init_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.init]


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in _init_fields(kind)}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _converted(value: Any, kind: Any, where: str) -> Any:  # noqa: PLR0911  (one return a kind)
    """Return ``value`` as an instance of the annotation ``kind``, or say why it is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return build(kind, value, where)
    if origin is Literal:
        if not any(value == allowed and type(value) is type(allowed) for allowed in arguments):
            raise ConfigError(f"{where} must be one of {', '.join(map(repr, arguments))}; got {value!r}")
        return value
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, where)
    if origin in (list, tuple, Sequence):
        return _sequence(value, origin, arguments, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(value, "a mapping", where)
        return {
            _converted(key, arguments[0], f"{where} (a key)"): _converted(
                item, arguments[1], f"{where}.{key}"
            )
            for key, item in value.items()
        }
    return _scalar(value, kind, where)


def _one_of(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    reasons = []
    for kind in kinds:
        try:
            return _converted(value, kind, where)
        except ConfigError as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise ConfigError("; or ".join(str(reason) for reason in reasons))


def _sequence(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(value, "a list", where)
    if origin is not tuple or arguments[1:] == (...,):
        kinds = [arguments[0]] * len(value)
    elif len(value) != len(arguments):
        raise ConfigError(f"{where} must be a list of {len(arguments)} values, got {len(value)}: {value!r}")
    else:
        kinds = list(arguments)
    items = [
        _converted(item, kind, f"{where}.{i}")
        for i, (item, kind) in enumerate(zip(value, kinds, strict=True))
    ]
    return tuple(items) if origin is tuple else items


def _scalar(value: Any, kind: Any, where: str) -> Any:
    if kind is float:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif kind is Path and isinstance(value, str | Path):
        return Path(value)
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    raise _wrong(value, names.get(kind, getattr(kind, "__name__", str(kind))), where)


def _wrong(value: Any, wanted: str, where: str) -> ConfigError:
    return ConfigError(f"{where} must be {wanted}, got {type(value).__name__} {value!r}")


def _replaced(node: Any, keys: list[str], value: Any, word: str) -> Any:
    """A copy of ``node`` in which ``keys`` lead to ``value``."""
    key, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not key.isdigit() or int(key) >= len(node):
            raise ConfigError(f"the override {word!r}: {key!r} must be an index from 0 to {len(node) - 1}")
        items = list(node)
        items[int(key)] = _replaced(items[int(key)], rest, value, word) if rest else value
        return items
    if node is not None and not isinstance(node, Mapping):
        raise ConfigError(f"the override {word!r} looks for {key!r} inside {node!r}, which has no fields")
    fields = dict(node or {})
    fields[key] = _replaced(fields.get(key), rest, value, word) if rest else value
    return fields
