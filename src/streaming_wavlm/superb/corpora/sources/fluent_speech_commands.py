"""Fluent Speech Commands: its tables, without what is not there."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ....errors import SuperbError
from ..layouts.fluent_commands import SLOTS, TABLES
from ..workshop import Layout, Workshop, share_of_most_frequent
from .checks import lengths, require_parts

ORIGIN = "Fluent Speech Commands is at https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research"


def check_intents(root: Path, shop: Workshop) -> Layout:
    """Write the three tables, with absolute paths.

    Raises:
        SuperbError: something is missing.
    """
    parts = {f"data/{table}": f"the table of the {split} split" for split, table in TABLES.items()}
    require_parts(root, "Fluent Speech Commands", {**parts, "wavs": "the recordings"}, ORIGIN)
    truth = []
    seen: set[tuple[str, str]] = set()
    for split, table in TABLES.items():
        rows = [{**row, "path": str(root / row["path"])} for row in _read(root / "data" / table)]
        there = {str(path) for path in lengths([Path(row["path"]) for row in rows], shop)}
        rows = [row for row in rows if row["path"] in there]
        if split == "train":
            seen = {(slot, row[slot]) for row in rows for slot in SLOTS}
        known = [row for row in rows if all((slot, row[slot]) in seen for slot in SLOTS)]
        shop.skip("slot value not in train", len(rows) - len(known))
        shop.counts[split] = len(known)
        truth += [tuple(row[slot] for slot in SLOTS) for row in known if split == "test"]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ("path", *SLOTS), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(known)
        shop.write(f"data/{table}", buffer.getvalue().splitlines())
    shop.require_splits("recordings")
    return Layout({"downstream_expert.datarc.file_path": "."}, share_of_most_frequent(truth))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := {"path", *SLOTS} - set(reader.fieldnames or ()):
                raise SuperbError(f"{path} lacks the columns {', '.join(sorted(missing))}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuperbError(f"the table {path} cannot be read: {error}") from error
