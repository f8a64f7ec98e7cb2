"""``results.json``: what is known so far, whole at every moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ...errors import SuperbError
from ...files import locked, replacing
from .records import JobRecord

FILE = "results.json"
_LOCK = ".lock"
_FORMAT = 1


class Ledger:
    """The results in a report's folder, held by one report at a time.

    Results of other checkpoints, configs and seeds stay in it: whoever goes back to them finds them.

    Args:
        folder: of the report; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, JobRecord] = {}
        self.facts: dict[str, Any] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take()
            self._read()
        except OSError as error:
            self._release()
            raise SuperbError(f"the report's folder {self.folder} cannot be used: {error}") from error
        except SuperbError:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def add(self, record: JobRecord) -> None:
        """Keep what came of a job, in place of what an earlier attempt left.

        Raises:
            SuperbError: the file cannot be written.
        """
        self.jobs[record.key] = record
        self.write()

    def tell(self, **facts: Mapping[str, Any]) -> None:
        """Keep facts about the upstreams, the corpora and how the results were made.

        Raises:
            SuperbError: the file cannot be written.
        """
        self.facts.update(facts)
        self.write()

    def write(self) -> None:
        """Write the file.

        Raises:
            SuperbError: it cannot be written.
        """
        values = {
            "format": _FORMAT,
            **self.facts,
            "jobs": [record.to_json() for record in self.jobs.values()],
        }
        try:
            with replacing(self.folder / FILE) as temporary:
                temporary.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise SuperbError(f"{self.folder / FILE} cannot be written: {error}") from error

    def _read(self) -> None:
        path = self.folder / FILE
        if not path.exists():
            return
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            known = values.pop("format")
            records = [JobRecord.from_json(job) for job in values.pop("jobs")] if known == _FORMAT else []
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SuperbError(
                f"{path} is no file of results, or is damaged ({error}); delete it, or give another --out"
            ) from error
        if known != _FORMAT:
            raise SuperbError(f"{path} has format {known}, this version reads {_FORMAT}; give another --out")
        self.jobs = {record.key: record for record in records}
        self.facts = values

    def _take(self) -> None:
        try:
            self._lock = locked(self.folder / _LOCK)
        except BlockingIOError as error:
            raise SuperbError(
                f"another report is being made in {self.folder}; wait for it, or give another --out"
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
