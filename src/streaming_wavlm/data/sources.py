"""Manifests, folders and Shar as utterances."""

from __future__ import annotations

import csv
import logging
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from streaming_wavlm.audio import audio_info
from streaming_wavlm.config import SAMPLE_RATE
from streaming_wavlm.errors import AudioError, MissingDependencyError
from streaming_wavlm.recordings import find_recordings

from .config import SourceConfig
from .errors import DataError
from .utterance import CutUtterance, FileUtterance, LostUtterance, SharUtterance, Utterance

logger = logging.getLogger(__name__)

_COLUMNS = ("id", "path", "seconds")


def read_source(source: SourceConfig, root: Path) -> list[Utterance]:
    """Return the recordings of a source, in its order.

    Args:
        source: what to read.
        root: the folder that its path is relative to.

    Raises:
        DataError: it does not exist, is malformed, or holds nothing.
        MissingDependencyError: it is Lhotse's and Lhotse is not installed.
    """
    path = (root / Path(source.path).expanduser()).absolute()
    if not path.exists():
        raise DataError(
            f"there is no data at {str(path)!r} (a source of kind {source.kind!r}); check the path"
        )
    readers = {"tsv": _read_tsv, "folder": _read_folder, "shar": _read_shar}
    reader = readers.get(source.kind, _read_lhotse)
    utterances = list(reader(path, source, root))
    if not utterances:
        kept = (
            f" that {source.where} and {source.exclude} let through" if source.where or source.exclude else ""
        )
        raise DataError(f"{path} holds no recordings{kept}")
    return utterances


def _read_tsv(path: Path, source: SourceConfig, root: Path) -> Iterator[Utterance]:
    base = path.parent.parent if source.base is None else root / Path(source.base).expanduser()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            columns = reader.fieldnames or ()
            wanted = {*_COLUMNS, *source.where, *source.exclude}
            if missing := sorted(wanted - set(columns)):
                raise DataError(
                    f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(columns) or 'none'} "
                    "(a TSV manifest is tab-separated, with a header)"
                )
            for number, row in enumerate(reader, start=2):
                kept = all(row[column] in values for column, values in source.where.items())
                if kept and not any(row[column] in values for column, values in source.exclude.items()):
                    samples = _samples(row["seconds"], path, number)
                    name, audio = (_cell(row, column, path, number) for column in ("id", "path"))
                    yield FileUtterance(name, samples, base / audio)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a TSV manifest: {error}") from error


def _cell(row: dict[str, str | None], column: str, path: Path, line: int) -> str:
    value = row[column]
    if not value:
        raise DataError(
            f"{path} line {line} has no {column}; each row needs {', '.join(_COLUMNS)}, with tabs between"
        )
    return value


def _samples(seconds: str | None, path: Path, line: int) -> int:
    try:
        return round(float(seconds or "") * SAMPLE_RATE)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} line {line}: seconds must be a number, got {seconds!r}") from error


def _read_folder(path: Path, source: SourceConfig, root: Path) -> Iterator[Utterance]:
    recordings = find_recordings([path]).recordings

    def measured(recording: Any) -> Utterance:
        try:
            seconds = audio_info(recording.path).seconds
        except AudioError as error:
            # Kept, so that it is counted with the others that cannot be read.
            logger.warning("%s", error)
            seconds = 1.0
        return FileUtterance(str(recording.name), round(seconds * SAMPLE_RATE), recording.path)

    with ThreadPoolExecutor() as pool:
        yield from pool.map(measured, recordings)


def _read_lhotse(path: Path, source: SourceConfig, root: Path) -> Iterator[Utterance]:
    lhotse = _lhotse()
    kind = lhotse.CutSet if source.kind == "cuts" else lhotse.RecordingSet
    try:
        for item in kind.from_file(path):
            cut = item if source.kind == "cuts" else item.to_cut()
            yield CutUtterance(cut.id, round(cut.duration * SAMPLE_RATE), cut)
    except Exception as error:  # whatever a malformed manifest makes Lhotse raise
        raise DataError(f"{path} cannot be read as a Lhotse manifest of {source.kind}: {error}") from error


def _read_shar(path: Path, source: SourceConfig, root: Path) -> Iterator[Utterance]:
    lhotse = _lhotse()
    manifests = sorted(path.glob("cuts.*.jsonl*"))
    for manifest in manifests:
        archive = path / f"recording.{manifest.name.split('.')[1]}.tar"
        try:
            places, without = _members(archive)
            lost = 0
            for cut in lhotse.CutSet.from_file(manifest):
                samples = round(cut.duration * SAMPLE_RATE)
                if cut.id in places:
                    yield SharUtterance(cut.id, samples, archive, *places[cut.id])
                elif cut.id not in without:
                    lost += 1
                    yield LostUtterance(cut.id, samples, f"{archive} has no audio of that name")
        except Exception as error:  # whatever a damaged manifest or archive makes Lhotse or tarfile raise
            raise DataError(
                f"the shard {manifest} with {archive.name} cannot be read: {type(error).__name__}: {error}; "
                "copy or make it again, or take both files away"
            ) from error
        if lost:
            logger.warning(
                "%s has no audio for %d cuts of %s, which count as unreadable; copy or make the shard again",
                archive,
                lost,
                manifest.name,
            )


def _members(archive: Path) -> tuple[dict[str, tuple[int, int]], set[str]]:
    """Where in a Shar archive the audio of each cut lies, and the cuts that were stored without any."""
    places: dict[str, tuple[int, int]] = {}
    without: set[str] = set()
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            name = str(Path(member.name).with_suffix(""))
            if member.name.endswith(".nodata"):
                without.add(name)
            elif not member.name.endswith((".json", ".nometa")):
                places[name] = member.offset_data, member.size
    return places, without


def _lhotse() -> Any:
    try:
        import lhotse  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            'Lhotse manifests and Shar need lhotse: pip install "streaming-wavlm[distill]"'
        ) from error
    return lhotse
