"""The visibility rule against a plain reading of its definition."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from streaming_wavlm.visibility import horizon, visible_keys
from tiny import noise, tiny_config, tiny_model

CONFIGS = [
    {"chunk_ms": chunk, "front_pad": pad, "lookahead_size": lookahead}
    for chunk in (80, 200, 400)
    for pad in ("kernel-1", "kernel-stride")
    for lookahead in (0, 3, "chunk")
]


@given(
    start=st.integers(0, 200),
    frames=st.integers(1, 40),
    cached=st.integers(0, 40),
    missing=st.integers(0, 5),
    block=st.integers(1, 12),
    chunk=st.integers(1, 25),
    window=st.integers(1, 50),
)
def test_the_mask_is_the_rule_read_frame_by_frame(
    start, frames, cached, missing, block, chunk, window
) -> None:
    valid = max(start, start + frames - missing)
    queries = torch.arange(start, start + frames)[None]
    keys = torch.arange(start - cached, start + frames)[None]
    mask = visible_keys(queries, keys, torch.tensor([[valid]]), block, chunk, window)[0]
    for row, i in enumerate(queries[0].tolist()):
        end = min((i // block + 1) * block, (i // chunk + 1) * chunk, valid)
        begin = max(0, end - window)
        assert mask[row].tolist() == [begin <= j < end for j in keys[0].tolist()]


def test_a_window_counts_back_from_the_end_that_is_seen() -> None:
    queries = keys = torch.arange(12)[None]
    mask = visible_keys(queries, keys, torch.tensor([[12]]), block=4, chunk=10, window=5)[0]
    assert mask[4].nonzero()[:, 0].tolist() == [3, 4, 5, 6, 7]
    assert mask[8].nonzero()[:, 0].tolist() == [5, 6, 7, 8, 9]  # its block is cut at the chunk's end
    assert mask[10].nonzero()[:, 0].tolist() == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_audio_after_a_frames_horizon_changes_nothing(changes) -> None:
    model = tiny_model(**changes)
    wav = noise(1, 3 * model.config.chunk_samples)
    with torch.inference_mode():
        before = model(wav).hidden_states
        for frame in range(before[0].shape[1]):
            end = horizon(model.config, frame)
            changed = wav.clone()
            changed[:, end:] += 1
            after = model(changed).hidden_states
            assert all(
                torch.equal(a[:, : frame + 1], b[:, : frame + 1]) for a, b in zip(before, after, strict=True)
            )
            changed = wav.clone()
            changed[:, end - 1 : end] += 1
            assert not torch.equal(before[-1][:, frame], model(changed).hidden_states[-1][:, frame])


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_the_measured_latency_is_that_of_the_config(changes) -> None:
    """Measure, for every sample of a chunk, when the first feature that it changes can leave."""
    model = tiny_model(**changes)
    size = model.config.chunk_samples
    wav = noise(1, 4 * size)
    longest, furthest = 0, -size
    with torch.inference_mode():
        before = model(wav).hidden_states[-1][0]
        # Every sample within a hop of the chunk's edges, and a few between: the others wait no longer.
        for sample in [*range(size, size + 322, 3), *range(2 * size - 322, 2 * size), 2 * size - size // 2]:
            changed = wav.clone()
            changed[0, sample] += 1
            touched = (model(changed).hidden_states[-1][0] != before).any(-1).nonzero()[:, 0]
            first = int(touched.min())
            leaves = (first // model.config.chunk_frames + 1) * size
            longest = max(longest, leaves - sample)
            furthest = max(furthest, sample - (first + 1) * 320)
    latency = model.config.latency
    assert longest / 16 == latency.algorithmic_ms
    # A frame's hop ends at 320 (i + 1); with kernel-1 padding it hears only the first sample of that hop.
    heard = 1 if model.config.front_pad == "kernel-1" else 320
    assert furthest == latency.lookahead_ms * 16 - (320 - heard) - 1


def test_a_bidirectional_config_has_no_latency() -> None:
    with pytest.raises(ValueError, match="whole recording"):
        _ = tiny_config(causal=False, front_pad="valid").latency
