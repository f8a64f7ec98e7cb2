"""Engines in other runtimes keep the model's contract, in float32 and, within their errors, in less."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path

import pytest
import torch

from programs import EVERYTHING, SLOTS, recordings
from streaming_wavlm.engines import PackedModel, graph
from streaming_wavlm.engines.graph import GraphEngine
from streaming_wavlm.engines.onnxruntime import OnnxRuntimeModel
from streaming_wavlm.engines.openvino import OpenVINOModel
from streaming_wavlm.errors import EngineError, ExportError, StateMismatchError
from streaming_wavlm.export import export
from streaming_wavlm.session import StreamSession
from streaming_wavlm.state import StreamState
from streams import Slots, Stream, streamed
from tiny import noise, tiny_model, worst

CLOSE = 1e-4
KINDS = {"openvino": (OpenVINOModel, "nncf"), "onnxruntime": (OnnxRuntimeModel, "onnxscript")}


@pytest.fixture(scope="module")
def model():
    return tiny_model(dtype=torch.float32, chunk_ms=200)


@pytest.fixture(scope="module")
def engines(model):
    """Make each engine once."""
    made: dict[tuple[str, str], GraphEngine] = {}

    def get(name: str, precision: str = "fp32") -> GraphEngine:
        kind, helper = KINDS[name]
        pytest.importorskip(name)
        pytest.importorskip(helper)
        if (name, precision) not in made:
            made[name, precision] = kind(model, precision, threads=1)
        return made[name, precision]

    return get


def errors(engine: GraphEngine, model, folder: Path) -> tuple[float, float]:
    """Run the program that has everything in it: the largest difference, and the relative error."""
    supply = (Stream(s.wav.float()) for s in recordings(model.config.chunk_samples, 0))
    slots = Slots(engine, lambda: next(supply), SLOTS, folder)
    largest, error, size = 0.0, 0.0, 0.0
    with torch.inference_mode():
        for name, *arguments in EVERYTHING:
            getattr(slots, name)(*arguments)
        for stream in slots.drain():
            ours = streamed(stream, model.config.num_layers, model.config.dim)
            alone = [layer[0] for layer in model(stream.wav[None]).hidden_states]
            largest = max(largest, worst(ours, alone))
            error += sum(float((a - b).square().sum()) for a, b in zip(ours, alone, strict=True))
            size += sum(float(b.square().sum()) for b in alone)
    return largest, (error / size) ** 0.5


@pytest.mark.parametrize("name", KINDS)
def test_any_history_gives_the_features_of_one_pass(name, engines, model, tmp_path) -> None:
    assert errors(engines(name), model, tmp_path)[0] < CLOSE


@pytest.mark.parametrize(
    ("name", "precision"), [("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "int8")]
)
def test_less_precision_stays_within_its_error(name, precision, engines, model, tmp_path) -> None:
    assert errors(engines(name, precision), model, tmp_path)[1] < 0.04


def forgetting(step, samples, frames, state):
    """Keeps the keys of the chunk before the last."""
    hidden, after = SOUND(step, samples, frames, state)
    return hidden, dataclasses.replace(after, keys=state.keys)


def leaking(step, samples, frames, state):
    """Gives each stream the values of the one beside it."""
    hidden, after = SOUND(step, samples, frames, state)
    return hidden, dataclasses.replace(after, values=tuple(value.roll(1, 0) for value in after.values))


def overwriting(step, samples, frames, state):
    """Writes into the state that it was given, as if nobody kept it."""
    hidden, after = SOUND(step, samples, frames, state)
    for old, new in zip(state.keys, after.keys, strict=True):
        old.copy_(new)
    return hidden, after


def clamping(step, samples, frames, state):
    """Stops counting at the window."""
    hidden, after = SOUND(step, samples, frames, state)
    return hidden, dataclasses.replace(after, position=after.position.clamp(max=31))


def padding(step, samples, frames, state):
    """Lets every frame of a feed exist."""
    return SOUND(step, samples, torch.full_like(frames, 10), state)


SOUND = graph.advance


@pytest.mark.parametrize("broken", [forgetting, leaking, clamping, padding], ids=lambda f: f.__name__)
def test_the_check_catches_a_broken_engine(broken, engines, model, tmp_path, monkeypatch) -> None:
    engine = engines("openvino")
    monkeypatch.setattr(graph, "advance", broken)
    assert errors(engine, model, tmp_path)[0] > 10 * CLOSE


@pytest.mark.parametrize("broken", [None, overwriting], ids=str)
def test_an_old_state_stays_good(broken, engines, model, monkeypatch) -> None:
    if broken:
        monkeypatch.setattr(graph, "advance", broken)
    engine, wav = engines("openvino"), noise(1, 8 * 3200, dtype=torch.float32)
    first, second, third = wav[:, :9600], wav[:, 9600:12800], wav[:, 12800:16000]
    state = engine.init_state(1)
    for chunk in first.split(3200, 1):
        _, state = engine.step(chunk, state)
    one, _ = engine.step(second, state)
    engine.step(third, state)
    again, _ = engine.step(second, state)
    assert (worst(one.hidden_states, again.hidden_states) == 0) == (broken is None)


@pytest.mark.parametrize("name", KINDS)
def test_whole_recordings_other_chunks_and_sessions(name, engines, model) -> None:
    engine, wav = engines(name), noise(2, 20_001, dtype=torch.float32)
    lengths = torch.tensor([20_001, 9_000])
    with torch.inference_mode():
        wanted = model(wav, lengths)
        ours = engine(wav, lengths)
        assert worst(ours.hidden_states, wanted.hidden_states) < CLOSE
        assert ours.lengths.tolist() == wanted.lengths.tolist()
        session = StreamSession(engine, layers=[-1])
        pieces = [session.push(packet) for packet in wav[0].split(1234)]
        streamed_features = torch.cat([*pieces, session.finish()], dim=1)
        assert worst([streamed_features[0]], [wanted.last_hidden_state[0]]) < CLOSE


def test_another_chunk_is_another_graph_made_once(engines, model) -> None:
    engine, wav = engines("openvino"), noise(1, 20_001, dtype=torch.float32)
    with torch.inference_mode():
        assert worst(engine(wav, chunk_ms=80).hidden_states, model(wav, chunk_ms=80).hidden_states) < CLOSE
    assert engine.with_chunk(80)._graph is engine.with_chunk(80)._graph
    assert engine.with_chunk(80).with_chunk(200)._graph is engine._graph
    with pytest.raises(StateMismatchError):
        engine.step(wav[:, :3200], engine.with_chunk(80).init_state(1))


def test_streams_move_between_the_model_and_engines(engines, model, tmp_path) -> None:
    wav = noise(1, 6 * 3200, dtype=torch.float32)
    with torch.inference_mode():
        wanted = model(wav).hidden_states

        def step(engine, number: int, state: StreamState) -> tuple[StreamState, float]:
            output, state = engine.step(wav[:, 3200 * number :][:, :3200], state)
            chunk = [layer[:, 10 * number :][:, :10] for layer in wanted]
            return state, worst(output.hidden_states, chunk)

        state, difference = step(model, 0, model.init_state(1))
        movers = [engines("openvino"), PackedModel(model), engines("onnxruntime")]
        for number, engine in enumerate(movers, start=1):
            state, difference = step(engine, number, state)
            assert difference < CLOSE, engine.name
        state.save(tmp_path / "state")
        state = StreamState.load(tmp_path / "state", model.config)
        state, _ = step(engines("openvino", "bf16"), 4, state)
        assert state.keys[0].dtype == torch.bfloat16
        _, difference = step(engines("openvino"), 5, state)
    assert difference < 0.05


def test_openvino_reads_a_state_that_is_not_contiguous(engines, model) -> None:
    engine, wav = engines("openvino"), noise(1, 6400, dtype=torch.float32)
    with torch.inference_mode():
        _, state = model.step(wav[:, :3200], model.init_state(1))
        strided = dataclasses.replace(state, keys=tuple(keys.mT.contiguous().mT for keys in state.keys))
        assert not strided.keys[0].is_contiguous()
        output, _ = engine.step(wav[:, 3200:], strided)
        assert worst(output.hidden_states, [layer[:, 10:] for layer in model(wav).hidden_states]) < CLOSE


def test_a_given_file_is_used_and_another_models_refused(engines, model, tmp_path) -> None:
    engines("onnxruntime")
    path = export(model, tmp_path, format="onnx", batch=2)
    with pytest.raises(EngineError, match=r"batch 2; this engine needs .* any batch"):
        OnnxRuntimeModel(model, file=path)
    path = export(model, tmp_path, format="onnx", batch=None, overwrite=True)
    engine, wav = OnnxRuntimeModel(model, file=path), noise(1, 9600, dtype=torch.float32)
    assert worst(engine(wav).hidden_states, engines("onnxruntime")(wav).hidden_states) == 0
    with pytest.raises(EngineError):
        OnnxRuntimeModel(model, "int8", file=path)


def test_an_engine_and_its_file_go_with_the_last_reference(model, monkeypatch) -> None:
    """At once, without the collector of cycles: a graph is hundreds of megabytes."""
    monkeypatch.setattr(GraphEngine, "_exported", lambda engine, model: object())
    gc.disable()
    try:
        engine = OnnxRuntimeModel(model, threads=1)
        other, file, gone = engine.with_chunk(80), engine._spooled._file, weakref.ref(engine)
        del engine
        assert gone() is None
        assert file.exists()  # for the other's further chunk sizes
        del other
        assert not file.exists()
    finally:
        gc.enable()


def test_what_an_engine_cannot_run_is_refused(model) -> None:
    with pytest.raises(ExportError, match="no precision 'bf16'"):
        OnnxRuntimeModel(model, "bf16")
    with pytest.raises(ExportError, match="float32 on the CPU"):
        OpenVINOModel(tiny_model())
