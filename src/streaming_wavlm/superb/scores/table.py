"""Numbers of single utterances that S3PRL does not write itself, in a file beside what it does write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import SuperbError
from ...files import replacing
from .score import Units


def table_path(folder: Path, split: str) -> Path:
    """Return where the numbers of a split are in the folder of an experiment."""
    return folder / f"streaming_wavlm-scores-{split}.tsv"


def write_table(folder: Path, split: str, ids: Sequence[str], columns: Mapping[str, Sequence[float]]) -> None:
    """Write numbers of utterances, trials or recordings.

    Args:
        folder: of the experiment.
        split: that was evaluated.
        ids: one for each row.
        columns: by name, as long as ``ids``.
    """
    lines = ["\t".join(["id", *columns])]
    for name, *values in zip(ids, *columns.values(), strict=True):
        lines.append("\t".join([name, *(f"{float(value):.9g}" for value in values)]))
    with replacing(table_path(folder, split)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_table(folder: Path, split: str, *names: str) -> Units:
    """Read some columns of the numbers of a split.

    Args:
        folder: of the experiment.
        split: that was evaluated.
        names: of the columns.

    Returns:
        ``[rows, len(names)]``.

    Raises:
        SuperbError: they were not written, or not by this version.
    """
    path = table_path(folder, split)
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        wanted = [head.split("\t").index(name) for name in names]
        rows = [line.split("\t") for line in lines]
        return np.array([[float(row[i]) for i in wanted] for row in rows]).reshape(-1, len(names))
    except (OSError, ValueError, IndexError) as error:
        raise SuperbError(
            f"{path} does not hold the figures of an evaluation ({error}); evaluate it again with "
            f"`streaming-wavlm superb run -m evaluate -e {folder}`"
        ) from error
