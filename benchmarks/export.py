"""Size and speed of the exported graphs, by format and precision, beside the model itself.

python benchmarks/export.py --model large --chunk-ms 200 400 1000
python benchmarks/export.py --model mini --accuracy
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded

import torch

from streaming_wavlm import StreamingWavLM, StreamingWavLMConfig, corpus, load
from streaming_wavlm.bench.timing import Spread, machine, take_turns
from streaming_wavlm.export import FORMATS, Tolerance, check, export, open_exported
from streaming_wavlm.export.stepping import advance, in_types_of
from streaming_wavlm.loading import random_model

ANYTHING = Tolerance(float("inf"), -1.0)  # the table shows the errors, whatever they are


def main() -> None:
    """Print the table, or write it as JSON, too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", choices=("mini", "large"), help="large has random weights")
    parser.add_argument("--chunk-ms", type=int, nargs="+", default=[200, 400, 1000])
    parser.add_argument("--only", nargs="*", help="such as openvino-int8 onnx-fp32; all when left out")
    parser.add_argument("--batch", type=int, default=1, help="streams per step")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--accuracy", action="store_true", help="errors on real speech, instead of times")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    builders = {
        "mini": lambda: load("mini"),
        "large": lambda: random_model(StreamingWavLMConfig.preset("large")),
    }
    model: StreamingWavLM = builders[options.model]()
    print(f"{options.model}, batch {options.batch}, {options.threads} threads; {machine()}\n", flush=True)
    rows = []
    for chunk_ms in options.chunk_ms:
        with tempfile.TemporaryDirectory() as folder:
            files = exported(model.with_chunk(chunk_ms), Path(folder), options)
            measured = accuracy if options.accuracy else speed
            rows += measured(model.with_chunk(chunk_ms), files, options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def exported(model: StreamingWavLM, folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Export every format and precision, for any number of streams as the engines do."""
    files = {}
    for name, kind in FORMATS.items():
        for precision in kind.precisions:
            label = f"{name}-{precision}"
            if not options.only or label in options.only:
                files[label] = export(model, folder / label, format=name, precision=precision, batch=None)
    return files


def accuracy(
    model: StreamingWavLM, files: dict[str, Path], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Print the errors of every layer over 30 s of real speech."""
    rows = []
    audio = corpus.long_recording(30)
    print(f"{model.config.chunk_ms} ms: relative error, mean cosine, lowest cosine of each layer")
    for label, path in files.items():
        errors = check(path, model, audio, tolerance=ANYTHING, threads=options.threads)
        text = "  ".join(f"{e.relative_error:.1e} {e.cosine:.5f} {e.lowest_cosine:.4f}" for e in errors)
        print(f"{label:14} {text}", flush=True)
        rows.append({"chunk_ms": model.config.chunk_ms, "file": label, "layers": [vars(e) for e in errors]})
    return rows


def speed(model: StreamingWavLM, files: dict[str, Path], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time a step past the window of every file, in one interleaved run with the model's own."""
    config, batch = model.config, options.batch
    audio = torch.from_numpy(corpus.long_recording(60))
    chunks = audio[: len(audio) // config.chunk_samples * config.chunk_samples].view(-1, config.chunk_samples)
    chunks = chunks[None].expand(batch, -1, -1)
    candidates: dict[str, Callable[[], object]] = {"eager": eager(model, chunks, batch)}
    candidates |= {label: stepper(path, model, chunks, options) for label, path in files.items()}
    with torch.inference_mode():
        turns = {label: partial(seconds, step) for label, step in candidates.items()}
        taken = take_turns(turns, options.rounds + 1)
    times = {label: Spread.of(values[1:]) for label, values in taken.items()}
    print(f"| {config.chunk_ms} ms | file | a step | quartiles | eager ÷ it |\n|---|---|---|---|---|")
    rows = []
    for label, timing in times.items():
        size = sum(f.stat().st_size for f in files[label].parent.iterdir()) / 1e6 if label in files else 0.0
        ratio = times["eager"].median / timing.median
        quartiles = f"{1000 * timing.low:.1f} … {1000 * timing.high:.1f}"
        megabytes = f"{size:.0f} MB" if size else "–"
        step_ms = f"{1000 * timing.median:.1f} ms"
        print(f"| {label} | {megabytes} | {step_ms} | {quartiles} | {ratio:.2f} |", flush=True)
        rows.append(
            {
                "model": options.model,
                "chunk_ms": config.chunk_ms,
                "batch": batch,
                "file": label,
                "megabytes": size,
                "step_ms": 1000 * timing.median,
                "eager_over_it": ratio,
            }
        )
    print(flush=True)
    return rows


def seconds(step: Callable[[], object]) -> float:
    """Return how long a step takes."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def eager(model: StreamingWavLM, chunks: torch.Tensor, batch: int) -> Callable[[], object]:
    """Return the model's own step, its streams going on and on."""
    state, count = model.init_state(batch), 0
    for number in range(model.config.window_size // model.config.chunk_frames + 1):
        with torch.inference_mode():
            _, state = model.step(chunks[:, number], state)

    def step() -> None:
        nonlocal state, count
        count += 1
        _, state = model.step(chunks[:, count % chunks.shape[1]], state)

    return step


def stepper(
    path: Path, model: StreamingWavLM, chunks: torch.Tensor, options: argparse.Namespace
) -> Callable[[], object]:
    """Return the step of a file, what its host does included."""
    graph = open_exported(path, threads=options.threads)
    config, count = model.config, 0
    state = in_types_of(graph, model.init_state(options.batch))
    frames = torch.full((options.batch,), config.chunk_frames)

    def step() -> None:
        nonlocal state, count
        count += 1
        _, state = advance(graph, chunks[:, count % chunks.shape[1]].contiguous(), frames, state)

    for _ in range(config.window_size // config.chunk_frames + 1):
        step()
    return step


if __name__ == "__main__":
    main()
