"""Tab-separated tables with a header."""

from __future__ import annotations

import csv
from pathlib import Path

from ...errors import SuperbError


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a table.

    Args:
        path: of the file.
        columns: that it must have.

    Raises:
        SuperbError: it cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="")
            found = reader.fieldnames or ()
            if missing := [column for column in columns if column not in found]:
                raise SuperbError(
                    f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(found) or 'none'} "
                    "(tab-separated, with a header)"
                )
            return [{key: value.strip() for key, value in row.items() if key is not None} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuperbError(f"the table {path} cannot be read: {error}") from error
