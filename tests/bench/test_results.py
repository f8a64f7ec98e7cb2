"""What the numbers become: verdicts, tables and an exit status."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from streaming_wavlm.bench import standard, tables
from streaming_wavlm.bench.equality import Equality
from streaming_wavlm.bench.targets import judge
from streaming_wavlm.cli import bench, main


def spread(median: float) -> dict:
    return {"median": median, "low": median * 0.9, "high": median * 1.1, "count": 4}


def step(
    variant: str, chunk_ms: int, faster: float, floor: float = 1.5, sliding: float | None = None
) -> dict:
    engine, precision = variant.split()
    return {
        "model": "large", "chunk_ms": chunk_ms, "variant": variant, "engine": engine, "precision": precision,
        "ms": spread(50.0), "real_time_factor": 0.125, "times_faster": spread(faster), "floor_ms": 33.0,
        "over_floor": spread(floor), "sliding_over_step": None if sliding is None else spread(sliding),
        "equality": {"largest_error": 1e-6, "lowest_cosine": 1.0},
    }  # fmt: skip


def streams(variant: str, by_batch: dict[int, float]) -> list[dict]:
    return [
        {"variant": variant, "batch": batch, "streams": number, "over_floor": spread(1.2)}
        for batch, number in by_batch.items()
    ]


def aged(over: float, memory: float) -> dict:
    row = {"ms": spread(8.0), "young_ms": spread(8.0), "over_young": spread(1.0), "memory_mib": 300.0}
    last = {**row, "minute": 60, "over_young": spread(over), "memory_mib": memory}
    return {
        "variant": "packed fp32", "chunk_ms": 400, "streamed_minutes": 60, "mean_ms": 8.0,
        "rows": [{**row, "minute": 1}, last],
    }  # fmt: skip


RESULTS = {
    "steps": {
        "large": {
            "rows": [
                step("eager bf16", 400, 9.0, 0.5, 90.0), step("packed bf16", 400, 3.5, 1.6, 25.0),
                step("packed int8", 200, 5.0), step("other int8", 200, 5.6),
            ],
            "machine": {
                "400": {
                    "gigaops": {"fp32": 200.0, "bf16": 400.0, "int8": 800.0}, "bandwidth_gb": 40.0,
                    "load_before": 0.1, "load_after": 0.2,
                }
            },
            "sliding": {"chunk_ms": 400, "ms": spread(2000.0)},
        }
    },
    "streams": {
        "large": {
            "rows": streams("packed bf16", {1: 9.0, 4: 12.5, 16: 12.0}), "chunk_ms": 400, "load_before": 1,
            "load_after": 1,
        },
        "mini": {"rows": streams("packed fp32", {1: 50.0, 16: 130.0})},
    },
    "ageing": {"mini": aged(1.2, 320.0)},
    "memory": {"large": {"rows": [{"variant": "packed bf16", "resident_mib": 700.0, "over_baseline": 0.55}]}},
    "cold": {
        "rows": [
            {
                "variant": "packed fp32", "first_features_s": spread(2.0), "import_s": spread(1.0),
                "load_s": spread(0.9), "step_s": spread(0.1), "process_s": spread(2.5),
            }
        ]
    },
}  # fmt: skip


def test_targets_take_the_best_engine_and_never_the_eager_one() -> None:
    found = {row["what"]: row for row in judge(RESULTS)}
    assert {what: (row["reached"], row["holds"]) for what, row in found.items()} == {
        "bf16, 400 ms: times faster than the eager fp32 step": (3.5, True),
        "int8, 200 ms: times faster than the eager fp32 step": (5.6, True),
        "bf16, 400 ms: times its floor": (1.6, True),
        "400 ms: time of the sliding window ÷ that of the bf16 step": (25.0, True),
        "bf16: streams in real time, full size": (12.5, False),
        "bf16: streams at batch 16 ÷ at batch 4 (not falling)": (0.96, False),
        "streams of mini in real time": (130.0, True),
        "mini: a step at minute 60 ÷ the same at minute 1": (1.2, False),
        "mini: most memory after minute 10 − most until then, MiB": (20.0, False),
        "mini: seconds from import to first features": (2.0, True),
        "bf16: resident memory ÷ that of the eager fp32 process": (0.55, True),
    }
    assert found["int8, 200 ms: times faster than the eager fp32 step"]["by"] == "other int8"


def test_nothing_measured_asks_for_nothing() -> None:
    assert judge({}) == []


@pytest.mark.parametrize("name", ["steps", "streams", "memory"])
def test_tables_are_rectangular(name) -> None:
    text = tables.section(name, "large", RESULTS[name]["large"])
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, block
    assert "packed bf16" in text


def test_the_other_tables() -> None:
    assert "| 60 | 8.00 (7.20 … 8.80) |" in tables.section("ageing", "mini", RESULTS["ageing"]["mini"])
    assert "2.00 (1.80 … 2.20)" in tables.section("cold", None, RESULTS["cold"])


def test_equality_is_by_layer_and_precision() -> None:
    theirs = np.random.default_rng(0).normal(size=(2, 1, 20, 16)).astype(np.float32)
    ours = theirs.copy()
    assert Equality.of(ours, theirs).holds("fp32")
    ours[1] *= 1 + 1e-4  # one layer is off by a factor: its directions are right
    equality = Equality.of(ours, theirs)
    assert not equality.holds("fp32")
    assert equality.holds("bf16")
    assert equality.errors == pytest.approx((0.0, 1e-4), rel=1e-2)
    ours[1] += 0.03 * np.random.default_rng(1).normal(size=ours[1].shape)
    worse = Equality.of(ours, theirs)
    assert worse.holds("int8")
    assert not worse.holds("bf16")
    assert min(worse.worst_frames) <= min(worse.cosines)


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_a_failed_check_is_shown_and_fails_the_command(monkeypatch, tmp_path, capsys, holds, status) -> None:
    check = {"what": "mini, one step", "holds": holds, "detail": "differs by 1"}
    found = {**RESULTS["cold"], "checks": [check], "skipped": {"other fp32": "not here"}}
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # the command takes it away
    monkeypatch.setattr(standard.cold, "measure", lambda settings: dict(found))
    monkeypatch.setattr(standard, "_OF_A_CREW", {})
    out, kept = tmp_path / "new" / "bench.md", tmp_path / "bench.json"
    options = ["--models", "mini", "--only", "cold", "--out", str(out), "--json", str(kept)]
    assert main(["bench", *options]) == status
    shown = capsys.readouterr().out
    assert shown.strip() == out.read_text().strip()
    assert ("FAILED: mini, one step: differs by 1" in shown) is not holds
    assert "cold start, other fp32: not here" in shown
    results = json.loads(kept.read_text())
    assert results["checks"] == [check]
    assert results["targets"][0]["reached"] == 2.0
    assert "torch" in results["about"]["versions"]


def test_the_command_knows_all_sections() -> None:
    assert bench._SECTIONS == standard.SECTIONS


@pytest.mark.parametrize(("options", "policy"), [([], None), (["--wait", "passive"], "PASSIVE")])
def test_the_measured_processes_wait_as_told(monkeypatch, options, policy) -> None:
    seen = {}

    def run(*_, **__) -> dict:
        seen["policy"] = os.environ.get("OMP_WAIT_POLICY")
        return {"checks": []}

    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr(standard, "run", run)
    assert main(["bench", *options]) == 0
    assert seen["policy"] == policy
