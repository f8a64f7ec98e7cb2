"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]


def heading(about: dict[str, Any]) -> str:
    """Return what the tables were measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads a process; load "
        f"{about['load_before']} at the beginning; {about['system']}; {versions}; "
        f"OMP_WAIT_POLICY: {about['waiting']}; {about['rounds']} rounds; seeds: {about['seeds']}; "
        f"began {about['began']}\n"
    )


def section(name: str, model: str | None, found: dict[str, Any]) -> str:
    """Return the tables of one section.

    Args:
        name: the section.
        model: of which model; None if there is but one.
        found: what the section measured.
    """
    return _SECTIONS[name](model or "mini", found)


def closing(results: dict[str, Any]) -> str:
    """Return the targets, what was skipped, and the checks that failed."""
    text = ""
    if results["targets"]:
        text += "### Targets\n\n" + _table(
            ("what", "wanted", "reached", "by", ""),
            [
                (
                    row["what"],
                    row["wanted"],
                    f"{row['reached']:g}",
                    row["by"],
                    "holds" if row["holds"] else "**no**",
                )
                for row in results["targets"]
            ],
        )
    if results["skipped"]:
        text += (
            "Skipped:\n\n" + "".join(f"- {what}: {why}\n" for what, why in results["skipped"].items()) + "\n"
        )
    failed = [check for check in results["checks"] if not check["holds"]]
    text += f"{len(results['checks'])} checks of equal results, {len(failed)} failed\n"
    text += "".join(f"- FAILED: {check['what']}: {check['detail']}\n" for check in failed)
    about = results["about"]
    return f"{text}\nload {about['load_after']} at the end, {about['ended']}\n"


def _steps(model: str, found: dict[str, Any]) -> str:
    rows = [
        (
            f"{row['chunk_ms']} ms", row["variant"], _spread(row["ms"]), f"{row['real_time_factor']:.3f}",
            f"{_spread(row['times_faster'])} ×", f"{row['floor_ms']:.1f} ms",
            f"{_spread(row['over_floor'])} ×", f"{row['equality']['largest_error']:.1e}",
            f"{row['equality']['lowest_cosine']:.6f}",
        )
        for row in found["rows"]
    ]  # fmt: skip
    text = f"### One step of {model}, one stream, window full\n\n" + _table(
        ("chunk", "candidate", "step, ms (quartiles)", "real-time factor", "faster than eager fp32", "floor",
         "÷ floor", "largest relative error", "lowest cosine"),
        rows,
    )  # fmt: skip
    text += _table(
        ("chunk", "fp32, GFLOP/s", "bf16", "int8", "reading, GB/s", "load before, after"),
        [
            (f"{chunk} ms", *(f"{machine['gigaops'][kind]:g}" for kind in ("fp32", "bf16", "int8")),
             f"{machine['bandwidth_gb']:g}", f"{machine['load_before']}, {machine['load_after']}")
            for chunk, machine in found["machine"].items()
        ],
    )  # fmt: skip
    sliding = found["sliding"]
    if sliding is None:
        return text
    slower = [
        (row["variant"], f"{_spread(row['sliding_over_step'])} ×")
        for row in found["rows"]
        if row["sliding_over_step"] is not None
    ]
    text += (
        f"An offline WavLM of the same size over a sliding window of 10 s takes {_spread(sliding['ms'])} ms "
        f"for each chunk ({sliding['ms']['count']} passes); beside steps of {sliding['chunk_ms']} ms:\n\n"
    )
    return text + _table(("candidate", "sliding window ÷ step"), slower)


def _profile(model: str, found: dict[str, Any]) -> str:
    return f"### Where a step of {model} goes, by torch's operators, under the profiler\n\n" + _table(
        ("chunk", "candidate", "in all", "operators: ms a step, calls"),
        [
            (
                f"{row['chunk_ms']} ms",
                row["variant"],
                f"{row['ms']:.1f} ms",
                "; ".join(
                    f"{operator['name'].removeprefix('aten::')} {operator['ms']:.1f}, {operator['calls']:g}"
                    for operator in row["operators"]
                ),
            )
            for row in found["rows"]
        ],
    )


def _memory(model: str, found: dict[str, Any]) -> str:
    return f"### Memory of a process with {model} and one stream\n\n" + _table(
        ("candidate", "resident", "÷ eager fp32"),
        [
            (row["variant"], f"{row['resident_mib']:.0f} MiB", f"{row['over_baseline']:.2f}")
            for row in found["rows"]
        ],
    )


def _streams(model: str, found: dict[str, Any]) -> str:
    batches = sorted({row["batch"] for row in found["rows"]})
    lines = []
    for name in dict.fromkeys(row["variant"] for row in found["rows"]):
        cells = {row["batch"]: row for row in found["rows"] if row["variant"] == name}
        lines.append((name, *(_streams_cell(cells.get(batch)) for batch in batches)))
    return (
        f"### Streams of {model} in real time, {found['chunk_ms']} ms chunks, by streams in a step\n\n"
        + _table(("candidate", *(f"{batch}" for batch in batches)), lines)
        + f"In brackets: the step's time ÷ its floor. Load {found['load_before']} before, "
        f"{found['load_after']} after.\n\n"
    )


def _streams_cell(row: Row | None) -> str:
    return "–" if row is None else f"{row['streams']:.1f} ({row['over_floor']['median']:.2f})"


def _accuracy(model: str, found: dict[str, Any]) -> str:
    if not found["rows"]:
        return ""
    layers = len(found["rows"][0]["equality"]["cosines"])
    seconds = found["rows"][0]["seconds"]
    text = f"### {seconds:g} s of real speech through {model}, against the eager fp32 features\n\n"
    text += _table(
        ("candidate", "lowest cosine of a layer", "of a frame", "largest relative error of a layer"),
        [
            (row["variant"], f"{row['equality']['lowest_cosine']:.6f}",
             f"{min(row['equality']['worst_frames']):.5f}",
             f"{row['equality']['largest_error']:.1e}")
            for row in found["rows"]
        ],
    )  # fmt: skip
    return text + _table(
        ("relative error in layer", *(str(layer + 1) for layer in range(layers))),
        [(row["variant"], *(f"{error:.1e}" for error in row["equality"]["errors"])) for row in found["rows"]],
    )


def _ageing(model: str, found: dict[str, Any]) -> str:
    text = (
        f"### A stream of {model} growing old ({found['variant']}, {found['chunk_ms']} ms chunks, "
        f"{found['streamed_minutes']} minutes streamed; mean step {found['mean_ms']:g} ms)\n\n"
    )
    return text + _table(
        ("minute", "step, ms (quartiles)", "the same stream at minute 1", "old ÷ young", "process, at most"),
        [
            (str(row["minute"]), _spread(row["ms"]), _spread(row["young_ms"]), _spread(row["over_young"]),
             f"{row['memory_mib']:.1f} MiB")
            for row in found["rows"]
        ],
    )  # fmt: skip


def _cold(_: str, found: dict[str, Any]) -> str:
    return "### Cold start of mini, in a fresh process\n\n" + _table(
        ("candidate", "import to first features, s (quartiles)", "import", "load", "first step",
         "whole process"),
        [
            (row["variant"], _spread(row["first_features_s"]),
             *(f"{row[part]['median']:.2f} s" for part in ("import_s", "load_s", "step_s", "process_s")))
            for row in found["rows"]
        ],
    )  # fmt: skip


_SECTIONS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "steps": _steps,
    "memory": _memory,
    "profile": _profile,
    "streams": _streams,
    "accuracy": _accuracy,
    "ageing": _ageing,
    "cold": _cold,
}


def _spread(value: dict[str, float]) -> str:
    digits = 1 if value["median"] >= 10 else 2
    median, low, high = (f"{value[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} … {high})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
