"""What an output folder knows about itself: how its features were made, and which recordings are complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ConfigError, OutputError
from .feature_writer import writing_failed
from .files import replacing
from .model import StreamingWavLM

FORMAT_VERSION = 1
SETTINGS_NAME = "extract.json"
JOURNAL_NAME = "extract.jsonl"


@dataclass(frozen=True)
class Settings:
    """All that the numbers in a feature file depend on, but for the recording.

    Attributes:
        weights: digest of the model's weights.
        config: every field of its config.
        compute: floating-point type of the model.
        layers: the hidden states stored, as indices from 0.
        file_format: ``safetensors`` or ``npy``.
        stored: floating-point type of the files.
    """

    weights: str
    config: dict[str, Any]
    compute: str
    layers: tuple[int, ...]
    file_format: str
    stored: str

    @classmethod
    def of(
        cls, model: StreamingWavLM, layers: tuple[int, ...], file_format: str, dtype: torch.dtype
    ) -> Settings:
        """Return the settings of a run."""
        return cls(
            weights=weights_digest(model),
            config=model.config.to_dict(),
            compute=_type_name(model.dtype),
            layers=layers,
            file_format=file_format,
            stored=_type_name(dtype),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-ready values."""
        fields = {**dataclasses.asdict(self), "layers": list(self.layers)}
        return {"format_version": FORMAT_VERSION, **fields}

    def header(self) -> dict[str, str]:
        """Return the settings as the strings that a feature file carries."""
        return {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in self.to_dict().items()
        }


class ExtractRecord:
    """The settings file and the journal of an output folder.

    The journal gets one line per complete recording, after its features are in place, so a run that dies at
    any moment leaves nothing that counts as complete and is not.
    """

    def __init__(self, out: Path, entries: dict[str, dict[str, Any]]) -> None:
        self._out = out
        self._entries = entries

    @classmethod
    def open(cls, out: Path, settings: Settings, outputs: Iterable[Path], overwrite: bool) -> ExtractRecord:
        """Open the record of a folder, or begin one.

        Args:
            out: the folder.
            settings: those of this run.
            outputs: the feature files this run is to make.
            overwrite: whether features with other settings may be replaced, if this run makes them all anew.

        Raises:
            ConfigError: the folder holds features with other settings, or files that no run recorded.
            OutputError: the folder cannot be written.
        """
        outputs = list(outputs)
        settings_file, journal = out / SETTINGS_NAME, out / JOURNAL_NAME
        if not settings_file.exists():
            strangers = [path for path in outputs if path.exists()]
            if strangers and not overwrite:
                raise ConfigError(
                    f"{strangers[0]} exists, and {out} has no {SETTINGS_NAME} to say how it was made; use "
                    "another folder, or --overwrite to replace it"
                )
        else:
            differences = _differences(_read_settings(settings_file), settings.to_dict())
            if not differences:
                _mend(journal)
                return cls(out, _read_journal(journal))
            kept = set(_read_journal(journal)) - {path.relative_to(out).as_posix() for path in outputs}
            if not overwrite or kept:
                others = f" ({len(kept)} of them are no part of this run)" if overwrite else ""
                raise ConfigError(
                    f"{out} holds features made with other settings{others}: {'; '.join(differences)}; use "
                    "another folder, or --overwrite to make all of them anew"
                )
        try:
            out.mkdir(parents=True, exist_ok=True)
            journal.unlink(missing_ok=True)
            with replacing(settings_file) as temporary:
                temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise writing_failed(settings_file, error) from error
        return cls(out, {})

    def is_complete(self, output: Path, source: Path) -> bool:
        """Whether a recording's features are there, whole, and made from the file as it is now."""
        entry = self._entries.get(output.relative_to(self._out).as_posix())
        try:
            return (
                entry is not None
                and entry["bytes"] == output.stat().st_size
                and entry["source"] == describe_source(source)
            )
        except (OSError, KeyError):
            return False

    def refuse_others(self, outputs: Mapping[Path, Path]) -> None:
        """Require that no features are those of another recording of the same name.

        Args:
            outputs: recordings and their feature files.

        Raises:
            ConfigError: some are, and that recording still exists.
        """
        for source, output in outputs.items():
            entry = self._entries.get(output.relative_to(self._out).as_posix(), {})
            known = entry.get("source")
            other = Path(str(known.get("path"))) if isinstance(known, dict) else source
            # A recording that was moved is not there any more; one that is linked is the same.
            if other != source and output.exists() and other.exists() and not _same(other, source):
                raise ConfigError(
                    f"{output} holds the features of {other}, and those of {source} would take its place; "
                    "extract both in one run, which tells their names apart, or use another folder, or "
                    "--overwrite to replace it"
                )

    def add(self, output: Path, source: dict[str, Any], samples: int, frames: int, size: int) -> None:
        """Note that a recording is complete.

        Args:
            output: its feature file.
            source: what :func:`describe_source` said before it was read.
            samples: its length at 16 kHz.
            frames: the frames stored.
            size: bytes of the feature file.

        Raises:
            OutputError: the disk is full, or cannot be written.
        """
        name = output.relative_to(self._out).as_posix()
        entry = {"output": name, "frames": frames, "samples": samples, "bytes": size, "source": source}
        journal = self._out / JOURNAL_NAME
        try:
            with journal.open("ab") as file:
                file.write(json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise writing_failed(journal, error) from error
        self._entries[name] = entry


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def describe_source(path: Path) -> dict[str, Any]:
    """Return what tells one version of a recording from another.

    Raises:
        OSError: the file is not there.
    """
    stat = path.stat()
    return {"path": os.fspath(path), "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def weights_digest(model: StreamingWavLM) -> str:
    """Return a short digest of names, types and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} cannot be read ({error}); use another folder, or delete this one"
        ) from error
    return values if isinstance(values, dict) else {}


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Return the journal's entries by output; a line that a dying run left unfinished counts for nothing."""
    entries = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            entries[str(entry["output"])] = entry
        except (ValueError, TypeError, KeyError):
            continue
    return entries


def _mend(journal: Path) -> None:
    """End a line that a dying run left unfinished, so that the next one stays readable."""
    if journal.exists() and not journal.read_bytes().endswith(b"\n"):
        try:
            with journal.open("ab") as file:
                file.write(b"\n")
        except OSError as error:
            raise writing_failed(journal, error) from error


def _differences(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    def flat(values: dict[str, Any]) -> dict[str, Any]:
        config = values.get("config")
        return {**values, **(config if isinstance(config, dict) else {}), "config": None}

    ours, theirs = flat(now), flat(there)
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    return [f"{key} {theirs.get(key, 'unknown')} there, {ours.get(key, 'unknown')} now" for key in keys]
