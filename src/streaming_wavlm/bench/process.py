"""A candidate in a process of its own, kept alive, that does one thing at a time when told."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any, Self

from ..errors import BenchError

_PATIENCE = 10.0  # seconds to end by itself
_SHOWN = 2000  # characters of what a process that died had to say


class CannotRunError(BenchError):
    """A candidate cannot run here, for a reason that the package itself gives."""


class Worker:
    """A process that runs one subject of :mod:`streaming_wavlm.bench.worker`.

    Processes keep candidates apart: what one changes for its whole process (how memory is kept, how many
    threads there are) does not make another faster, and each has a memory of its own to measure.

    Args:
        kind: the subject's kind.
        threads: of the process; the library's own choice when None.
        **arguments: of the subject.

    Raises:
        CannotRunError: the subject cannot run here.
        BenchError: it failed.
    """

    def __init__(self, kind: str, threads: int | None = None, **arguments: Any) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streaming_wavlm.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        try:
            self.call("make", kind=kind, threads=threads, arguments=arguments)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, **arguments: Any) -> Any:
        """Let the subject do something, and return what it answers.

        Args:
            method: of the subject.
            **arguments: of the method, JSON-ready.

        Raises:
            CannotRunError: the package refused, and said why.
            BenchError: it failed, or the process died.
        """
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101
        line = b""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"a benchmark's process ended in {method!r}: {self._last_words()}")
        reply = json.loads(line)
        if "answer" in reply:
            return reply["answer"]
        raise (CannotRunError if reply["refused"] else BenchError)(reply["error"])

    def close(self) -> None:
        """End the process."""
        if self._errors.closed:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        self._process.kill()
        status = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return text[-_SHOWN:] or f"exit status {status}"
