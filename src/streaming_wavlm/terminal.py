"""The progress bar that every long command draws."""

from __future__ import annotations

from typing import Any


def rich_bar(elapsed: bool = False) -> Any:
    """Return a bar on standard error whose tasks have a ``note`` field; None where rich is not installed.

    Args:
        elapsed: whether it says how long it has been, in place of how long it will be.
    """
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        return None
    clock = TimeElapsedColumn() if elapsed else TimeRemainingColumn()
    columns = (
        TextColumn("{task.description}"), BarColumn(20 if elapsed else 40), MofNCompleteColumn(), clock,
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True))
