"""What the project asks of itself, beside what was reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TIMES_FASTER = {
    "fp32": {200: 2.4, 400: 2.0, 1000: 1.6},
    "bf16": {200: 4.0, 400: 3.3, 1000: 2.6},
    "int8": {200: 5.5, 400: 4.0, 1000: 3.2},
}
_OVER_FLOOR = {"fp32": 1.4, "bf16": 1.7, "int8": 2.2}
_STREAMS = {"fp32": 7.0, "bf16": 13.0, "int8": 15.0}
_MINI_STREAMS = 100.0
_SLIDING = 20.0
_COLD_SECONDS = 3.0
_MEMORY = 0.6
# Within noise: the quartiles of the ratio come so close to 1, and the process grew by no more than this.
_FLAT, _GROWTH_MIB = 0.05, 2.0
_YOUNG_MINUTES = 10
_NOT_FALLING = 0.97

Target = dict[str, Any]


def judge(results: dict[str, Any]) -> list[Target]:
    """Compare results with the targets; those that were not measured are left out.

    Args:
        results: of :func:`streaming_wavlm.bench.standard.run`.

    Returns:
        One dict for each: what, wanted, reached, by which candidate, and whether it holds.
    """
    return [
        *_steps(results.get("steps", {}).get("large", {}).get("rows", [])),
        *_streams(results.get("streams", {})),
        *_ages(results.get("ageing", {})),
        *_starts(results.get("cold", {}).get("rows", [])),
        *_memory(results.get("memory", {}).get("large", {}).get("rows", [])),
    ]


def _steps(rows: list[dict[str, Any]]) -> Iterator[Target]:
    def best(precision: str, chunk_ms: int) -> dict[str, Any] | None:
        those = [
            row
            for row in rows
            if (row["precision"], row["chunk_ms"]) == (precision, chunk_ms) and row["engine"] != "eager"
        ]
        return max(those, key=lambda row: float(row["times_faster"]["median"]), default=None)

    for precision, wanted in _TIMES_FASTER.items():
        for chunk_ms, least in wanted.items():
            found = best(precision, chunk_ms)
            if found is not None:
                what = f"{precision}, {chunk_ms} ms: times faster than the eager fp32 step"
                yield _at_least(what, least, found["times_faster"]["median"], found["variant"])
    for precision, most in _OVER_FLOOR.items():
        found = best(precision, 400)
        if found is not None:
            yield _at_most(
                f"{precision}, 400 ms: times its floor", most, found["over_floor"]["median"], found["variant"]
            )
    found = best("bf16", 400)
    if found is not None and found["sliding_over_step"] is not None:
        what = "400 ms: time of the sliding window ÷ that of the bf16 step"
        yield _at_least(what, _SLIDING, found["sliding_over_step"]["median"], found["variant"])


def _streams(streams: dict[str, Any]) -> Iterator[Target]:
    def fastest(model: str, precision: str) -> dict[str, Any] | None:
        those = [
            row
            for row in streams.get(model, {}).get("rows", [])
            if row["variant"].endswith(f" {precision}") and not row["variant"].startswith("eager")
        ]
        return max(those, key=lambda row: float(row["streams"]), default=None)

    for precision, least in _STREAMS.items():
        best = fastest("large", precision)
        if best is None:
            continue
        who = f"{best['variant']}, batch {best['batch']}"
        yield _at_least(f"{precision}: streams in real time, full size", least, best["streams"], who)
        own = [row for row in streams["large"]["rows"] if row["variant"] == best["variant"]]
        by_batch = {row["batch"]: row["streams"] for row in own}
        if 4 in by_batch and 16 in by_batch:
            ratio = round(by_batch[16] / by_batch[4], 3)
            what = f"{precision}: streams at batch 16 ÷ at batch 4 (not falling)"
            yield _at_least(what, _NOT_FALLING, ratio, best["variant"])
    found = [best for precision in _STREAMS if (best := fastest("mini", precision)) is not None]
    if found:
        best = max(found, key=lambda row: float(row["streams"]))
        who = f"{best['variant']}, batch {best['batch']}"
        yield _at_least("streams of mini in real time", _MINI_STREAMS, best["streams"], who)


def _ages(ageing: dict[str, Any]) -> Iterator[Target]:
    for model, found in ageing.items():
        last = found["rows"][-1]
        ratio = last["over_young"]
        yield {
            "what": f"{model}: a step at minute {last['minute']} ÷ the same at minute 1",
            "wanted": "1 within noise",
            "reached": ratio["median"],
            "by": found["variant"],
            "holds": ratio["low"] <= 1 + _FLAT and ratio["high"] >= 1 - _FLAT,
        }
        # Memory goes up and down with the tape of keys and values: the peaks between two looks are compared.
        early, late = (
            [row["memory_mib"] for row in found["rows"] if (row["minute"] > _YOUNG_MINUTES) == old]
            for old in (False, True)
        )
        what = f"{model}: most memory after minute {_YOUNG_MINUTES} − most until then, MiB"
        yield _at_most(what, _GROWTH_MIB, round(max(late) - max(early), 1), found["variant"])


def _starts(rows: list[dict[str, Any]]) -> Iterator[Target]:
    for row in rows:
        if row["variant"] in ("eager fp32", "packed fp32"):
            what = "mini: seconds from import to first features"
            yield _at_most(what, _COLD_SECONDS, row["first_features_s"]["median"], row["variant"])


def _memory(rows: list[dict[str, Any]]) -> Iterator[Target]:
    for row in rows:
        if row["variant"] == "packed bf16":
            what = "bf16: resident memory ÷ that of the eager fp32 process"
            yield _at_most(what, _MEMORY, row["over_baseline"], row["variant"])


def _at_least(what: str, least: float, reached: float, by: str) -> Target:
    return {"what": what, "wanted": f"≥ {least:g}", "reached": reached, "by": by, "holds": reached >= least}


def _at_most(what: str, most: float, reached: float, by: str) -> Target:
    return {"what": what, "wanted": f"≤ {most:g}", "reached": reached, "by": by, "holds": reached <= most}
