"""The packed engine keeps the model's contract: any history gives the features of one pass of the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings

from programs import EVERYTHING, SLOTS, Operation, programs, recordings, variants
from streaming_wavlm.engines import PackedModel, tape
from streaming_wavlm.engines.attention import PackedAttention
from streaming_wavlm.engines.linear import Arithmetic
from streaming_wavlm.engines.packed_state import PackedState
from streaming_wavlm.errors import ConfigError, EngineError, InputError, StateError, StateMismatchError
from streaming_wavlm.model import StreamingWavLM
from streaming_wavlm.session import StreamSession
from streaming_wavlm.state import StreamState
from streams import Slots, streamed
from tiny import noise, tiny_model, worst

EXACT = 1e-10


def largest_error(
    engine: PackedModel, model: StreamingWavLM, program: list[Operation], folder: Path, seed: int = 0
) -> float:
    """Run a program on the engine and compare every stream that ended with one pass of the model over it."""
    supply = recordings(model.config.chunk_samples, seed)
    slots = Slots(engine, lambda: next(supply), SLOTS, folder)
    errors = []
    with torch.inference_mode():
        for name, *arguments in program:
            getattr(slots, name)(*arguments)
        for stream in slots.drain():
            alone = model(stream.wav[None]).hidden_states
            ours = streamed(stream, model.config.num_layers, model.config.dim)
            errors.append(worst(ours, [layer[0] for layer in alone]))
    return max(errors)


@settings(max_examples=40)
@given(program=programs, variant=variants, seed=st.integers(0, 1000))
@example(program=EVERYTHING, variant={"chunk_ms": 200, "front_pad": "kernel-1"}, seed=0)
@example(program=EVERYTHING, variant={"chunk_ms": 1000, "lookahead_size": "chunk"}, seed=1)
def test_any_history_gives_the_features_of_one_pass(program, variant, seed, tmp_path_factory) -> None:
    model = tiny_model(seed, **variant)
    folder = tmp_path_factory.mktemp("state")
    assert largest_error(PackedModel(model), model, program, folder, seed) < EXACT


@pytest.mark.parametrize("plain", [False, True])
def test_single_precision_stays_close(plain, tmp_path) -> None:
    model = tiny_model(chunk_ms=200, dtype=torch.float32)
    engine = PackedModel(model, arithmetic=Arithmetic(torch.float32, torch.float32, plain=plain))
    wav = noise(3, 40_000, dtype=torch.float32)
    with torch.inference_mode():
        ours, theirs = engine(wav), model(wav)
    for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-5


@pytest.mark.parametrize(("precision", "cosine"), [("bf16", 0.9998), ("int8", 0.999)])
def test_reduced_precision_is_close_on_real_speech_and_trained_weights(precision, cosine) -> None:
    import streaming_wavlm as sw
    from streaming_wavlm import corpus

    wav = torch.as_tensor(corpus.long_recording(4))[None]
    with torch.inference_mode():
        theirs = sw.load("mini")(wav).hidden_states
        ours = sw.load("mini", engine="packed", precision=precision)(wav).hidden_states
    for a, b in zip(ours, theirs, strict=True):
        assert float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) > cosine


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_neighbour_never_changes_a_stream_in_reduced_precision(precision) -> None:
    """Quantising by the batch's largest value would."""
    engine = PackedModel(tiny_model(chunk_ms=200, dtype=torch.float32), precision)
    quiet = noise(1, 9600, dtype=torch.float32)
    loud = 3 * noise(1, 9600, seed=1, dtype=torch.float32)
    with torch.inference_mode():
        alone = engine(quiet).hidden_states
        beside = [layer[:1] for layer in engine(torch.cat([quiet, loud])).hidden_states]
    assert worst(alone, beside) < 1e-6


def short_memory(kept: tape.Tape) -> tape.Tape:
    """Forget a frame more than one may."""
    return dataclasses.replace(kept, frames=min(kept.frames, kept.shape.window) - 1)


class Overwrites(tape.Reel):
    """Lets whoever asks write where somebody has written before."""

    def claim(self, end: int, frames: int) -> bool:
        return end + frames <= self.slots


def test_the_check_catches_a_window_that_is_too_short(tmp_path, monkeypatch) -> None:
    model = tiny_model(chunk_ms=200)
    monkeypatch.setattr(tape.Tape, "trimmed", short_memory)
    assert largest_error(PackedModel(model), model, EVERYTHING, tmp_path) > 1e-6


def fork_error(model: StreamingWavLM) -> float:
    """Let a stream and its fork hear different things, in turns, and compare the stream with one pass."""
    engine = PackedModel(model)
    size = model.config.chunk_samples
    wav = noise(1, 4 * size)
    first, *rest = wav.split(size, dim=1)
    with torch.inference_mode():
        out, state = engine.step(first, engine.init_state(1))
        pieces, twin = [out.hidden_states], state
        for chunk in rest:
            out, state = engine.step(chunk, state)
            _, twin = engine.step(-chunk, twin)
            pieces.append(out.hidden_states)
        joined = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
        return worst(joined, model(wav).hidden_states)


def test_the_check_catches_forks_that_write_over_each_other(monkeypatch) -> None:
    model = tiny_model(chunk_ms=200)
    assert fork_error(model) < EXACT
    monkeypatch.setattr(tape, "Reel", Overwrites)
    assert fork_error(model) > 1e-6


def test_the_check_catches_a_bias_that_ignores_the_grid(tmp_path, monkeypatch) -> None:
    model = tiny_model(chunk_ms=200)
    engine = PackedModel(model)
    own = engine._biases

    def always_at_the_start(position, frames, valid, keys, rule):
        return own(1000 * rule.chunk * rule.block, frames, valid, keys, rule)

    engine._biases = always_at_the_start
    assert largest_error(engine, model, EVERYTHING, tmp_path) > 1e-6


def test_states_move_between_the_model_and_the_engine(tmp_path) -> None:
    model = tiny_model(chunk_ms=200)
    engine = PackedModel(model)
    wav = noise(2, 12 * model.config.chunk_samples)
    ways, pieces = [model, engine, engine, model], []
    state = model.init_state(2)
    with torch.inference_mode():
        for number, chunk in enumerate(wav.split(model.config.chunk_samples, dim=1)):
            way = ways[number % 4]
            if way is model and isinstance(state, PackedState):
                state.save(tmp_path / "state")
                state = StreamState.load(tmp_path / "state", model.config)
            out, state = way.step(chunk, state)
            pieces.append(out.hidden_states)
        joined = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
        assert worst(joined, model(wav).hidden_states) < EXACT


def test_an_old_state_stays_good(tmp_path) -> None:
    model = tiny_model(chunk_ms=200)
    engine = PackedModel(model)
    chunks = noise(1, 20 * model.config.chunk_samples).split(model.config.chunk_samples, dim=1)
    states, outputs = [engine.init_state(1)], []
    for chunk in chunks:
        out, after = engine.step(chunk, states[-1])
        states.append(after)
        outputs.append(out.hidden_states)
    for chunk, state, first in zip(reversed(chunks), reversed(states[:-1]), reversed(outputs), strict=True):
        assert worst(engine.step(chunk, state)[0].hidden_states, first) < EXACT


def test_memory_does_not_grow_with_the_stream() -> None:
    model = tiny_model(chunk_ms=200)
    engine = PackedModel(model)
    state, sizes = engine.init_state(1), []
    for _ in range(300):
        _, state = engine.step(noise(1, model.config.chunk_samples), state)
        sizes.append(state.nbytes())
    # A window and what is written until the next copy: never three windows and a feed.
    window = state.blank.tape.shape
    per_frame = 2 * window.layers * window.heads * window.head_dim * 8
    assert max(sizes[100:]) <= per_frame * (3 * window.window + 10) + 10_000


def test_other_chunk_sizes_share_the_weights() -> None:
    model = tiny_model(chunk_ms=400)
    engine = PackedModel(model).with_chunk(200)
    wav = noise(2, 30_000)
    with torch.inference_mode():
        assert worst(engine(wav).hidden_states, model(wav, chunk_ms=200).hidden_states) < EXACT
        whole = engine(wav, chunk_ms=400).hidden_states
        assert worst(whole, model(wav).hidden_states) < EXACT


def test_chosen_layers_and_their_weighted_sum() -> None:
    model = tiny_model(chunk_ms=200)
    for way in (model, PackedModel(model)):
        chunk = noise(2, way.config.chunk_samples)
        with torch.inference_mode():
            every = way.step(chunk, way.init_state(2))[0].hidden_states
            last = way.step(chunk, way.init_state(2), layers=[-1, 0])[0].hidden_states
            total = way.step(chunk, way.init_state(2), layers=[0, 1], weights=[0.25, 3.0])[0].hidden_states
        assert worst(last, (every[1], every[0])) == 0
        assert worst(total, (0.25 * every[0] + 3.0 * every[1],)) < EXACT
        with pytest.raises(InputError, match="one weight per hidden state"):
            way.step(chunk, way.init_state(2), weights=[1.0])
        with pytest.raises(InputError, match="does not exist"):
            way.step(chunk, way.init_state(2), layers=[2])


def test_a_session_runs_on_an_engine() -> None:
    model = tiny_model(chunk_ms=200, dtype=torch.float32)
    wav = noise(20_000, dtype=torch.float32)
    ours, theirs = StreamSession(PackedModel(model)), StreamSession(model)
    for packet in wav.split(777):
        assert worst([ours.push(packet)], [theirs.push(packet)]) < 1e-5
    twin = ours.fork()
    assert worst([ours.finish()], [theirs.finish()]) < 1e-5
    assert twin.finish().shape[1] > 0


def test_states_are_checked() -> None:
    engine = PackedModel(tiny_model(chunk_ms=200))
    state = engine.init_state(2)
    with pytest.raises(StateError, match="between 0 and 1"):
        state.select([2])
    with pytest.raises(StateError, match="row mask"):
        state.reset(torch.tensor([True]))
    with pytest.raises(StateError, match="no state to stack"):
        PackedState.stack([])
    with pytest.raises(StateMismatchError, match="different models"):
        PackedState.stack([state, engine.with_chunk(400).init_state(1)])
    with pytest.raises(StateMismatchError, match="another config"):
        engine.with_chunk(400).step(noise(2, 6400), state)


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        PackedModel(tiny_model(causal=False, lookahead_size=0))
    model = tiny_model()
    with torch.no_grad():
        model.encoder.layers[0].attention.gru_rel_pos_const.fill_(-2)
    with pytest.raises(EngineError, match="eager"):
        PackedAttention(model.encoder.layers[0].attention, Arithmetic.of("fp32", torch.float64), 10)


def test_the_engine_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    engine = PackedModel(model)
    wav = noise(1, 7000)
    with torch.inference_mode():
        first = engine(wav).hidden_states
        for tensor in model.state_dict().values():
            tensor.zero_()
        assert worst(engine(wav).hidden_states, first) == 0
    assert dataclasses.is_dataclass(engine.init_state(1))
    assert set(before) == set(model.state_dict())
