"""The engine for GPUs: its buffers and states on the CPU, its graphs where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from programs import EVERYTHING, SLOTS, recordings
from streaming_wavlm.engines import make_engine
from streaming_wavlm.engines.cuda_graph import Captured, GraphedModel
from streaming_wavlm.errors import EngineError
from streams import Slots, streamed
from tiny import noise, tiny_model, worst


def largest_error(engine: GraphedModel, model, folder) -> float:
    supply = recordings(model.config.chunk_samples, 0)
    slots = Slots(engine, lambda: next(supply), SLOTS, folder)
    errors = []
    with torch.inference_mode():
        for name, *arguments in EVERYTHING:
            getattr(slots, name)(*arguments)
        for stream in slots.drain():
            ours = streamed(stream, model.config.num_layers, model.config.dim)
            errors.append(worst(ours, [layer[0] for layer in model(stream.wav[None]).hidden_states]))
    return max(errors)


def test_any_history_gives_the_features_of_one_pass(tmp_path) -> None:
    model = tiny_model(chunk_ms=200)
    assert largest_error(GraphedModel(model), model, tmp_path) < 1e-10


def test_the_check_catches_buffers_that_are_handed_out(tmp_path, monkeypatch) -> None:
    """A step that returned its buffers would change states that were given out before."""
    model = tiny_model(chunk_ms=200)
    kept: dict[int, list[torch.Tensor]] = {}

    def leaky(self, feed, state):
        hidden, after = call(self, feed, state)
        old = kept.setdefault(id(self), list(after.keys))
        for buffer, new in zip(old, after.keys, strict=True):
            buffer.copy_(new)
        return hidden, type(after)(
            after.position, after.conv, after.pos_conv, tuple(old), after.values, after.fingerprint
        )

    call = Captured.__call__
    monkeypatch.setattr(Captured, "__call__", leaky)
    assert largest_error(GraphedModel(model), model, tmp_path) > 1e-6


def test_other_chunks_and_batch_sizes() -> None:
    model = tiny_model(chunk_ms=400)
    engine = GraphedModel(model, sizes=2).with_chunk(200)
    for batch in (1, 3, 2, 1):
        wav = noise(batch, 9000)
        assert worst(engine(wav).hidden_states, model(wav, chunk_ms=200).hidden_states) < 1e-10
    assert len(engine._captured) == 2


def test_it_wants_a_gpu_and_no_int8() -> None:
    with pytest.raises(EngineError, match="runs on cuda"):
        make_engine(tiny_model(dtype=torch.float32), "cuda_graph")
    with pytest.raises(EngineError, match="int8"):
        GraphedModel(tiny_model(), "int8")


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-4), ("bf16", 0.2)])
def test_graphs_give_the_features_of_the_model(precision, bound) -> None:
    model = tiny_model(chunk_ms=200, dtype=torch.float32)
    wav = noise(3, 30_000, dtype=torch.float32)
    engine = make_engine(tiny_model(chunk_ms=200, dtype=torch.float32).cuda(), "cuda_graph", precision)
    ours = [layer.float().cpu() for layer in engine(wav.cuda()).hidden_states]
    assert worst(ours, model(wav).hidden_states) < bound
