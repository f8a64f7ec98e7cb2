"""Recordings and tables for tests of corpora: noise in bursts, so that it has an energy like speech's."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def burst(seconds: float = 1.5, seed: int = 0, pauses: tuple[tuple[float, float], ...] = ()) -> np.ndarray:
    """Noise that is silent in the pauses, given in seconds."""
    wave = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    for start, end in pauses:
        wave[round(start * RATE) : round(end * RATE)] *= 1e-3
    return wave


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """Write a 16-bit WAV file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype="PCM_16")
    return path


def manifest(folder: Path, rows: Iterable[Mapping[str, str]], seconds: float = 1.5) -> Path:
    """Write a table and a recording for each row that names one which is not there yet."""
    rows = list(rows)
    columns = sorted({key for row in rows for key in row} | {"path"})
    lines = ["\t".join(columns)]
    for row in rows:
        name = row.get("path", f"{row['id']}.wav")
        if not (folder / name).exists() and "path" not in row:
            write(folder / name, burst(seconds, zlib.crc32(row["id"].encode())))
        lines.append("\t".join({**row, "path": name}.get(column, "") for column in columns))
    table = folder / "mine.tsv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def numbered(counts: Mapping[str, int], **columns: str) -> list[dict[str, str]]:
    """Rows of each split; ``{split}`` and ``{i}`` in a column are replaced."""
    return [
        {"id": f"{split}-{i}", "split": split}
        | {key: value.format(split=split, i=i) for key, value in columns.items()}
        for split, count in counts.items()
        for i in range(count)
    ]
