"""From nothing to the first features, in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from ..engines import ENGINES
from ..engines.available import EXPORTING
from ..errors import BenchError
from ..loading import EMBEDDED
from .crew import Settings
from .timing import Spread, load_average, rotated

_ROUNDS = 3
_PROGRAM = """
import sys, time
begin = time.perf_counter()
import torch
import streaming_wavlm as sw
imported = time.perf_counter()
threads, source, engine, precision = sys.argv[1:]
try:
    model = sw.load(source, engine=engine, precision=precision, threads=int(threads) or None)
except sw.StreamingWavLMError as error:
    sys.exit(f"refused: {error}")
loaded = time.perf_counter()
with torch.inference_mode():
    model.step(torch.zeros(1, model.config.chunk_samples, dtype=model.dtype), model.init_state(1))
print(imported - begin, loaded - imported, time.perf_counter() - loaded)
"""


def measure(settings: Settings) -> dict[str, Any]:
    """Start ``mini`` in every engine, in turn: three times, or once where a graph is built at each start.

    Returns:
        ``rows`` by engine: from the import to the first features, its three parts, and from the start of the
        process to its end.
    """
    found: dict[str, list[list[float]]] = {engine: [] for engine in ENGINES if settings.measures(engine)}
    skipped: dict[str, str] = {}
    begin = load_average()
    for engine in rotated(list(found), _ROUNDS):
        if engine not in skipped and not (engine in EXPORTING and found[engine]):
            settings.say(f"{EMBEDDED}: cold start of {engine}")
            _start(engine, settings.threads or 0, found[engine], skipped)
    rows = []
    for engine, starts in found.items():
        if starts:
            parts = [Spread.of([start[part] for start in starts]).rounded() for part in range(4)]
            rows.append(
                {
                    "model": EMBEDDED,
                    "variant": f"{engine} fp32",
                    "first_features_s": Spread.of([sum(start[:3]) for start in starts]).rounded(),
                    **dict(zip(("import_s", "load_s", "step_s", "process_s"), parts, strict=True)),
                }
            )
    return {"rows": rows, "skipped": skipped, "load_before": begin, "load_after": load_average()}


def _start(engine: str, threads: int, starts: list[list[float]], skipped: dict[str, str]) -> None:
    begin = time.perf_counter()
    run = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _PROGRAM, str(threads), EMBEDDED, engine, "fp32"],
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - begin
    if run.returncode == 0:
        starts.append([*map(float, run.stdout.split()[-3:]), whole])
        return
    words = run.stderr.strip()
    if not words.startswith("refused: "):
        raise BenchError(f"a cold start of {engine} failed: {words[-2000:]}")
    skipped[f"{engine} fp32"] = words.removeprefix("refused: ")
