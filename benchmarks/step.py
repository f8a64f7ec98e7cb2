"""What a streaming step costs, beside computing everything heard so far again at each chunk."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timing import interleaved

from streaming_wavlm import StreamingWavLM, StreamingWavLMConfig

CHUNKS_MS = (80, 200, 400, 800, 1000)
HEARD_SECONDS = 10


def build(preset: str) -> StreamingWavLM:
    """Return a model with seeded random weights: what a step costs does not depend on their values."""
    torch.manual_seed(0)
    return StreamingWavLM(StreamingWavLMConfig.preset(preset)).eval()


def measure(preset: str, rounds: int) -> list[dict[str, Any]]:
    """Time the step of one architecture at every chunk size, ten seconds into a stream.

    Args:
        preset: ``"mini"`` or ``"large"``.
        rounds: measured rounds per chunk size.

    Returns:
        One row per chunk size: milliseconds, real-time factor, ratio to recomputing, largest difference.
    """
    base = build(preset)
    rows = []
    for chunk_ms in CHUNKS_MS:
        model = base.with_chunk(chunk_ms)
        size = model.config.chunk_samples
        heard = torch.randn(1, HEARD_SECONDS * 16_000 // size * size) * 0.1
        state = model.init_state(1)
        *before, last = heard.split(size, dim=1)
        with torch.inference_mode():
            for chunk in before:
                _, state = model.step(chunk, state)
            stepped = model.step(last, state)[0].hidden_states
            again = model(heard).hidden_states
            frames = model.config.chunk_frames
            difference = max(
                float((a - b[:, -frames:]).abs().max()) for a, b in zip(stepped, again, strict=True)
            )
            if difference > 1e-3:
                raise SystemExit(f"{preset} {chunk_ms} ms: step and one pass differ by {difference:.2g}")
            times = interleaved(
                {"step": partial(model.step, last, state), "recompute": partial(model, heard)}, rounds
            )
        step, recompute = times["step"], times["recompute"]
        rows.append(
            {
                "model": preset,
                "chunk_ms": chunk_ms,
                "step_ms": round(1000 * step.median, 2),
                "step_iqr_ms": [round(1000 * step.low, 2), round(1000 * step.high, 2)],
                "real_time_factor": round(1000 * step.median / chunk_ms, 4),
                "recompute_over_step": round(recompute.median / step.median, 1),
                "largest_difference": difference,
            }
        )
    return rows
