"""A training ends with the report that started it, even if that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streaming_wavlm.superb.orphans import PARENT_VARIABLE, end_with_parent

SOURCE = str(Path(__file__).parents[2] / "src")
CHILD = (
    "import time; from streaming_wavlm.superb.orphans import end_with_parent; "
    "{watch}print(flush=True); time.sleep(60)"
)
PARENT = """
import os, subprocess, sys, time
environment = {{**os.environ, "{variable}": str(os.getpid())}}
words = [sys.executable, "-c", "{child}"]
child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, process_group=0)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def lives(process: int) -> bool:
    """Whether a process is there and has not ended, whoever is to bury it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes by /proc")
@pytest.mark.parametrize("watch", [True, False], ids=["watching", "not watching"])
def test_who_watches_ends_with_a_parent_that_was_killed(watch) -> None:
    child = CHILD.format(watch="end_with_parent(); " if watch else "")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(variable=PARENT_VARIABLE, child=child)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert parent.stdout is not None
    process = int(parent.stdout.readline())
    parent.stdout.close()
    try:
        assert lives(process)
        parent.kill()
        parent.wait()
        end = time.monotonic() + (20 if watch else 3)
        while lives(process) and time.monotonic() < end:
            time.sleep(0.05)
        assert lives(process) != watch
    finally:
        if lives(process):
            os.kill(process, signal.SIGKILL)


def test_nobody_is_watched_unless_the_environment_says_so(monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("threading.Thread", never)
    end_with_parent({})
    end_with_parent({PARENT_VARIABLE: "nobody"})
