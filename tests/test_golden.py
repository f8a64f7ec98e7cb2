"""Reference vectors computed by another implementation of the same definition."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.model import StreamingWavLM
from tiny import worst

GOLDEN = Path(__file__).parent / "data" / "focalcodec_small.safetensors"
RUNS = {"offline": 10_000, "chunk80ms": 80, "chunk400ms": 400, "chunk800ms": 800}


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def model(golden: dict[str, torch.Tensor]) -> StreamingWavLM:
    config = StreamingWavLMConfig(hidden_dims=(32,) * 7, num_layers=3, dim=64, ffn_dim=128, num_heads=4)
    model = StreamingWavLM(config).eval()
    prefix = "model."
    weights = {key.removeprefix(prefix): value for key, value in golden.items() if key.startswith(prefix)}
    model.load_state_dict(weights)
    return model


@pytest.mark.parametrize(("run", "chunk_ms"), RUNS.items())
def test_one_pass_agrees_with_the_reference(run, chunk_ms, golden, model) -> None:
    with torch.inference_mode():
        out = model(golden["wav"], chunk_ms=chunk_ms)
    assert worst(out.hidden_states, [golden[f"{run}.hidden_states.{i}"] for i in range(3)]) < 1e-4


@pytest.mark.parametrize(("run", "chunk_ms"), RUNS.items())
def test_the_stream_agrees_with_the_reference(run, chunk_ms, golden, model) -> None:
    streaming = model.with_chunk(chunk_ms)
    state = streaming.init_state(1)
    pieces = []
    with torch.inference_mode():
        chunks = list(golden["wav"].split(streaming.config.chunk_samples, dim=1))
        tail = chunks.pop() if chunks[-1].shape[1] < streaming.config.chunk_samples else None
        for chunk in chunks:
            out, state = streaming.step(chunk, state)
            pieces.append(out.hidden_states)
        out, _ = streaming.finish(state, tail)
        pieces.append(out.hidden_states)
    streamed = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
    assert worst(streamed, [golden[f"{run}.hidden_states.{i}"] for i in range(3)]) < 1e-4


def test_a_window_one_frame_off_disagrees_with_the_reference(golden, model) -> None:
    other = StreamingWavLM(model.config.replace(window_size=511)).eval()
    other.load_state_dict(model.state_dict())
    with torch.inference_mode():
        out = other(golden["wav"])
    assert worst(out.hidden_states, [golden[f"offline.hidden_states.{i}"] for i in range(3)]) > 1e-4
