"""The exceptions: one tree; each message says what was given, what is allowed and what to do."""

from __future__ import annotations


class StreamingWavLMError(Exception):
    """The root of every error this package raises on purpose."""


class ConfigError(StreamingWavLMError, ValueError):
    """A configuration holds a value, or a combination of values, that no model can have."""


class UnknownKeyError(ConfigError):
    """A configuration names a field that does not exist."""


class CheckpointError(StreamingWavLMError):
    """A checkpoint cannot be used."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """The named checkpoint is no file, no folder and cannot be had from a hub."""


class CheckpointCorruptError(CheckpointError):
    """The file is empty, cut short, or not in a format this package reads."""


class UnsafeCheckpointError(CheckpointError):
    """Reading the file would run code that it carries; it was not read."""


class CheckpointMismatchError(CheckpointError):
    """The tensors of a checkpoint and the architecture disagree."""


class UnsupportedCheckpointError(CheckpointError):
    """The checkpoint is sound but describes a model that this package cannot run."""


class HubError(CheckpointError):
    """The hub could not be reached, or refused what was asked of it."""


class InputError(StreamingWavLMError, ValueError):
    """The audio, lengths or mask handed to a model have the wrong shape, type or values."""


class StateError(StreamingWavLMError, ValueError):
    """A stream state cannot be used with this model or for this operation."""


class StateMismatchError(StateError):
    """A stream state was made by a model of another configuration."""


class SessionClosedError(StreamingWavLMError):
    """Audio was pushed into a session that has been finished."""


class AudioError(StreamingWavLMError):
    """An audio file or packet cannot be read or is not audio."""


class MissingDependencyError(StreamingWavLMError, ImportError):
    """An optional library is needed for what was asked and is not installed."""


class EngineError(StreamingWavLMError, ValueError):
    """There is no such engine, or it cannot run here as asked."""


class BenchError(StreamingWavLMError):
    """A benchmark cannot be run as asked, or one of its processes failed."""


class ExportError(StreamingWavLMError):
    """A model cannot be exported as asked, or an exported file cannot be used."""


class ExportMismatchError(ExportError):
    """An exported file does not compute what the model does."""


class SuperbError(StreamingWavLMError):
    """A SUPERB task cannot be run as asked."""


class HeadError(StreamingWavLMError):
    """A trained head cannot be read, or does not fit the model whose features it is to hear."""


class OutputError(StreamingWavLMError):
    """The features cannot be written where they were asked to go."""


class ProtocolError(StreamingWavLMError, ValueError):
    """A message of a live connection is not what the protocol allows."""


class ServerError(StreamingWavLMError):
    """A server cannot be started as asked, or refused or ended a stream."""
