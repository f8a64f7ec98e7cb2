"""The contract: whatever happens to a stream, its features are those of one pass over it alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings
from torch import Tensor

from programs import EVERYTHING, SLOTS, Operation, programs, recordings, variants
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.model import StreamingWavLM
from streaming_wavlm.state import StreamState
from streams import Slots, Stream, streamed
from tiny import noise, tiny_model, worst

EXACT = 1e-10


def largest_error(model: StreamingWavLM, program: list[Operation], folder: Path, seed: int = 0) -> float:
    """Run a program and compare every stream that ended with one pass over it alone."""
    supply = recordings(model.config.chunk_samples, seed)
    slots = Slots(model, lambda: next(supply), SLOTS, folder)
    reference = tiny_model_like(model)
    with torch.inference_mode():
        for name, *arguments in program:
            getattr(slots, name)(*arguments)
        errors = []
        for stream in slots.drain():
            alone = reference(stream.wav[None])
            ours = streamed(stream, model.config.num_layers, model.config.dim)
            errors.append(worst(ours, [layer[0] for layer in alone.hidden_states]))
    return max(errors)


def tiny_model_like(model: StreamingWavLM) -> StreamingWavLM:
    """A sound model with the weights of a possibly broken one."""
    sound = StreamingWavLM(model.config).to(model.dtype).eval()
    sound.load_state_dict(model.state_dict())
    return sound


@settings(max_examples=60)
@given(program=programs, variant=variants, seed=st.integers(0, 1000))
@example(program=EVERYTHING, variant={"chunk_ms": 200, "front_pad": "kernel-1"}, seed=0)
@example(program=EVERYTHING, variant={"chunk_ms": 1000, "lookahead_size": "chunk"}, seed=1)
def test_any_history_gives_the_features_of_one_pass(program, variant, seed, tmp_path_factory) -> None:
    model = tiny_model(seed, **variant)
    assert largest_error(model, program, tmp_path_factory.mktemp("state"), seed) < EXACT


@pytest.mark.parametrize("front_pad", ["kernel-1", "kernel-stride"])
@pytest.mark.parametrize("lookahead", [3, "chunk"])
@pytest.mark.parametrize("chunk_ms", [200, 400, 800, 1000, 10_000])
def test_every_preset_chunk_size_is_exact_beyond_the_window(chunk_ms, lookahead, front_pad) -> None:
    model = tiny_model(chunk_ms=chunk_ms, lookahead_size=lookahead, front_pad=front_pad)
    wav = noise(1, 2 * model.config.chunk_samples + 12_345)
    with torch.inference_mode():
        state, pieces = model.init_state(1), []
        for chunk in wav.split(model.config.chunk_samples, dim=1):
            last = chunk.shape[1] < model.config.chunk_samples
            out, state = model.finish(state, chunk) if last else model.step(chunk, state)
            pieces.append(out.hidden_states)
        joined = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
        assert worst(joined, model(wav).hidden_states) < EXACT


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 20_000), min_size=1, max_size=5),
    front_pad=st.sampled_from(["kernel-1", "kernel-stride"]),
    seed=st.integers(0, 1000),
)
def test_a_batch_gives_each_recording_what_it_gets_alone(lengths, front_pad, seed) -> None:
    model = tiny_model(seed, front_pad=front_pad)
    wavs = torch.full((len(lengths), max(lengths) + 777), float("nan"), dtype=torch.float64)
    for row, length in enumerate(lengths):
        wavs[row, :length] = noise(length, seed=seed + row)
    with torch.inference_mode():
        batched = model(wavs, torch.tensor(lengths))
        assert batched.lengths.tolist() == [-(-length // 320) for length in lengths]
        for row, length in enumerate(lengths):
            alone = model(wavs[row : row + 1, :length])
            frames = int(batched.lengths[row])
            cut = [layer[row : row + 1, :frames] for layer in batched.hidden_states]
            assert worst(cut, alone.hidden_states) < EXACT
            assert all((layer[row, frames:] == 0).all() for layer in batched.hidden_states)


def test_single_precision_stays_within_its_tolerance(tmp_path) -> None:
    model = tiny_model(chunk_ms=200, dtype=torch.float32)
    supply = (Stream(s.wav.float()) for s in recordings(model.config.chunk_samples, 0))
    slots = Slots(model, lambda: next(supply), SLOTS, tmp_path)
    with torch.inference_mode():
        for name, *arguments in EVERYTHING:
            getattr(slots, name)(*arguments)
        for stream in slots.drain():
            alone = model(stream.wav[None]).hidden_states
            assert worst(streamed(stream, 2, 16), [layer[0] for layer in alone]) < 1e-4


class RingTooShort(StreamingWavLM):
    """Keeps a chunk less than a window of keys and values."""

    def _feed(self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig):
        hidden, after = super()._feed(samples, state, valid, config)
        lost = config.window_size - config.chunk_frames
        for cache in (*after.keys, *after.values):
            if cache.shape[2] == config.window_size:
                cache[:, :, : max(0, config.window_size - lost)] = 0
        return hidden, after


class PositionClamped(StreamingWavLM):
    """Stops counting at the window, as if nothing depended on the true position after it."""

    def _feed(self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig):
        hidden, after = super()._feed(samples, state, valid, config)
        limit = config.window_size - 1
        return hidden, dataclasses.replace(after, position=after.position.clamp(max=limit))


class NeighbourLeaks(StreamingWavLM):
    """Gives each stream the keys of the one beside it."""

    def _feed(self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig):
        hidden, after = super()._feed(samples, state, valid, config)
        return hidden, dataclasses.replace(after, keys=tuple(key.roll(1, 0) for key in after.keys))


class InactiveRowsMove(StreamingWavLM):
    """Advances every stream, whether it had a chunk or not."""

    def step(self, chunk: Tensor, state: StreamState, active: Tensor | None = None):
        out, _ = super().step(chunk, state, active)
        return out, super().step(chunk.nan_to_num(), state, None)[1]


class ContextDropped(StreamingWavLM):
    """Starts the front-end afresh at every chunk: packets that are not aligned to anything."""

    def _feed(self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig):
        blank = dataclasses.replace(state, conv=tuple(torch.zeros_like(cache) for cache in state.conv))
        return super()._feed(samples, blank, valid, config)


class ChunkEndIgnored(StreamingWavLM):
    """Uses a block grid that restarts at each chunk instead of the true one."""

    def _feed(self, samples: Tensor, state: StreamState, valid: Tensor, config: StreamingWavLMConfig):
        hidden, after = super()._feed(
            samples,
            dataclasses.replace(state, position=state.position * 4),
            valid + state.position * 3,
            config,
        )
        return hidden, dataclasses.replace(after, position=state.position + samples.shape[1] // config.hop)


class OffByOneSample(StreamingWavLM):
    """Hears each chunk one sample late."""

    def step(self, chunk: Tensor, state: StreamState, active: Tensor | None = None):
        return super().step(chunk.roll(1, 1), state, active)


BROKEN = [
    RingTooShort,
    PositionClamped,
    NeighbourLeaks,
    InactiveRowsMove,
    ContextDropped,
    ChunkEndIgnored,
    OffByOneSample,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda cls: cls.__name__)
def test_the_check_catches_a_broken_model(broken, tmp_path) -> None:
    sound = tiny_model(chunk_ms=200)
    model = broken(sound.config).to(torch.float64).eval()
    model.load_state_dict(sound.state_dict())
    assert largest_error(model, EVERYTHING, tmp_path) > 1e-6


@torch.inference_mode()
def test_a_reset_clears_what_bad_audio_left_behind() -> None:
    """A value left in a cache by NaN audio must not outlive a reset: zero weight times NaN is NaN."""
    model = tiny_model(chunk_ms=200)
    size = model.config.chunk_samples
    _, state = model.step(torch.full((1, size), float("nan"), dtype=torch.float64), model.init_state(1))
    fresh, _ = model.step(noise(1, size), model.init_state(1))
    again, _ = model.step(noise(1, size), state.reset([0]))
    assert worst(fresh.hidden_states, again.hidden_states) == 0
    forgetful = dataclasses.replace(state, position=torch.zeros_like(state.position))
    leaked, _ = model.step(noise(1, size), forgetful)
    assert not torch.isfinite(leaked.last_hidden_state).all()


def test_the_feed_of_one_pass_may_not_be_cut_inside_a_chunk() -> None:
    """Why one pass is fed in whole chunks: a cut elsewhere changes what frames before it see."""
    model = tiny_model(chunk_ms=400, lookahead_size="chunk")
    wav = noise(1, 20 * 320)
    whole = model(wav).last_hidden_state
    state = model.init_state(1)
    pieces = []
    for samples in wav.split(10 * 320, dim=1):
        hidden, state = model._feed(samples, state, state.position + 10, model.config)
        pieces.append(hidden[-1])
    assert float((torch.cat(pieces, 1) - whole).detach().abs().max()) > 1e-6
