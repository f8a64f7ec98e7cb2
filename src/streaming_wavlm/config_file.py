"""Config files: YAML or JSON; the fields flat, under ``wavlm:``, prefixed, or as published with weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .config import FORMAT_VERSION, StreamingWavLMConfig
from .errors import ConfigError, UnsupportedCheckpointError
from .keys import shown

ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | StreamingWavLMConfig

MODEL_TYPE = "streaming_wavlm"
# What a published config.json holds beside the fields.
METADATA_KEYS = ("model_type", "format_version", "provenance", "defaults")
# What a YAML file may stand for, its aliases written out.
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class PublishedConfig:
    """What a published ``config.json`` says.

    Attributes:
        fields: config fields, their values not yet looked at.
        provenance: where the weights came from.
        defaults: fields that nobody stated when the checkpoint was written.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()


def read_fields(source: ConfigSource | None) -> dict[str, Any]:
    """Return the config fields that ``source`` gives, under their plain names.

    Args:
        source: a path to a YAML or JSON file, a mapping, a config (which gives every field), or None.

    Raises:
        ConfigError: the file cannot be read or parsed, or gives a key twice.
        UnknownKeyError: a key names no field; the message offers the nearest.
    """
    if source is None:
        return {}
    if isinstance(source, StreamingWavLMConfig):
        return source.to_dict()
    if isinstance(source, Mapping):
        return parse_published(source, "the config").fields
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        values = parse_text(_read_text(path), str(path))
        return parse_published(values, str(path)).fields
    raise ConfigError(
        "config must be a path to a YAML or JSON file, a dict or a StreamingWavLMConfig, "
        f"got {type(source).__name__}"
    )


def read_config(source: ConfigSource, base: StreamingWavLMConfig | None = None) -> StreamingWavLMConfig:
    """Return the config that ``source`` describes; fields it does not give come from ``base``.

    Args:
        source: a path to a YAML or JSON file, a mapping, or a config.
        base: the config to start from; the defaults when None.

    Raises:
        ConfigError: the file cannot be read or parsed, or a value is out of range.
        UnknownKeyError: a key names no field; the message offers the nearest.
    """
    return StreamingWavLMConfig.from_dict(read_fields(source), base)


def parse_text(
    text: str, where: str, kind: str = "config", example: str = "num_layers: 12"
) -> Mapping[str, Any]:
    """Parse YAML (of which JSON is a part), refusing tags, keys given twice and anything but a mapping.

    Args:
        text: the file's text.
        where: the file's name, for messages.
        kind: what the file is to be, for messages.
        example: a line of such a file, for messages.

    Raises:
        ConfigError: the text is none of that.
    """
    try:
        values = _parse_braces(text) if text.lstrip().startswith("{") else _parse_yaml(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{where} cannot be read as a YAML or JSON {kind}: {error}") from error
    if values is None:
        raise ConfigError(f"{where} is empty; a {kind} is a mapping such as {example!r}")
    return _mapping(values, where, kind)


def parse_json(text: str, where: str) -> Mapping[str, Any]:
    """Parse the JSON that travels with weights, refusing keys given twice and anything but a mapping.

    Args:
        text: the file's text.
        where: the file's name, for messages.

    Raises:
        ConfigError: the text is none of that.
    """
    try:
        values = _parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{where} cannot be read as JSON: {error}; a config that travels with weights is JSON, as "
            "save_pretrained writes it; one in YAML can be given beside them, with config="
        ) from error
    return _mapping(values, where)


def parse_published(values: Mapping[str, Any], where: str) -> PublishedConfig:
    """Split a config into its fields and what a published checkpoint keeps beside them.

    Args:
        values: the parsed file.
        where: the file's name, for messages.

    Raises:
        UnsupportedCheckpointError: a newer version of this package wrote it, or it is another model's.
        ConfigError: the metadata is malformed.
        UnknownKeyError: a key names no field.
    """
    rest = {key: value for key, value in values.items() if key not in METADATA_KEYS}
    _check_model_type(values.get("model_type", MODEL_TYPE), where)
    _check_version(values.get("format_version", FORMAT_VERSION), where)
    provenance = values.get("provenance", {})
    if not isinstance(provenance, Mapping):
        raise ConfigError(f"{where}: provenance must be a mapping, got {type(provenance).__name__}")
    defaults = values.get("defaults", ())
    names = StreamingWavLMConfig.field_names()
    if not isinstance(defaults, list | tuple) or not all(name in names for name in defaults):
        raise ConfigError(f"{where}: defaults must be a list of config fields, got {shown(defaults)}")
    return PublishedConfig(StreamingWavLMConfig.given_fields(rest), dict(provenance), tuple(defaults))


def _check_model_type(model_type: Any, where: str) -> None:
    if model_type == "wavlm":
        raise UnsupportedCheckpointError(
            f"{where} is the config of a transformers WavLM, which is not causal; "
            "streaming_wavlm.convert(...) turns that checkpoint into a student's initialisation"
        )
    if model_type != MODEL_TYPE:
        raise UnsupportedCheckpointError(
            f"{where} has model_type {shown(model_type)}, expected {MODEL_TYPE!r}: it is another "
            "model's config"
        )


def _check_version(version: Any, where: str) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{where}: format_version must be a positive integer, got {shown(version)}")
    if version > FORMAT_VERSION:
        raise UnsupportedCheckpointError(
            f"{where} has format_version {version}; this version of streaming-wavlm reads up to "
            f"{FORMAT_VERSION}; upgrade it: pip install -U streaming-wavlm"
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {str(path)!r}; give a YAML or JSON file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text; a config is a YAML or JSON file") from error
    except OSError as error:
        raise ConfigError(f"the config file {str(path)!r} cannot be read: {error.strerror}") from error


def _mapping(values: Any, where: str, kind: str = "config") -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping of {kind} fields, got {type(values).__name__}")
    return values


def _parse_braces(text: str) -> Any:
    try:
        return _parse_json(text)
    except json.JSONDecodeError:
        return _parse_yaml(text)  # a YAML mapping in braces


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique_pairs)


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} is given twice")
        values[key] = value
    return values


def _parse_yaml(text: str) -> Any:
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(tree, yaml.MappingNode):
        _check_size(tree, {})
        _refuse_repeated_keys(tree)
    return yaml.safe_load(text)


def _check_size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for, its aliases written out.

    A few aliases of aliases stand for more values than anybody can look at, though they take no memory.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if (size := known.get(id(node), 0)) is None:
        raise ValueError(f"line {node.start_mark.line + 1} begins something that holds itself")
    if size == 0:
        known[id(node)] = None
        parts = (
            node.value
            if isinstance(node, yaml.SequenceNode)
            else [part for pair in node.value for part in pair]
        )
        known[id(node)] = size = 1 + sum(_check_size(part, known) for part in parts)
        if size > _MOST_VALUES:
            raise ValueError(f"its aliases (*name) stand for more than {_MOST_VALUES} values")
    return size


def _refuse_repeated_keys(root: yaml.MappingNode) -> None:
    # YAML keeps the last of two equal keys without a word.
    waiting, visited = [root], set()
    while waiting:
        node = waiting.pop()
        visited.add(id(node))
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ValueError(f"line {line} gives the key {key.value!r} a second time")
                seen.add(key.value)
            if isinstance(value, yaml.MappingNode) and id(value) not in visited:
                waiting.append(value)
