"""The model's borders: what it takes, what it refuses, what runs it."""

from __future__ import annotations

import copy

import pytest
import torch

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.engines import PackedModel
from streaming_wavlm.engines.cuda_graph import GraphedModel
from streaming_wavlm.errors import ConfigError, InputError, StateError
from streaming_wavlm.model import StreamingWavLM
from tiny import noise, tiny_config, tiny_model, worst


def test_the_presets_have_the_sizes_they_promise() -> None:
    with torch.device("meta"):
        large = StreamingWavLM(StreamingWavLMConfig.preset("large")).num_parameters()
        mini = StreamingWavLM(StreamingWavLMConfig.preset("mini"))
    assert large == pytest.approx(164.3e6, abs=0.05e6)
    assert mini.num_parameters() <= 8_000_000
    assert mini.config.num_layers >= 6


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 800, 16_000])
def test_frames_are_samples_over_the_hop_rounded_up(samples) -> None:
    model = tiny_model()
    out = model(noise(1, samples))
    assert out.last_hidden_state.shape == (1, -(-samples // 320), 16)
    assert out.lengths.tolist() == [-(-samples // 320)]
    assert len(out.hidden_states) == 2


def test_inputs_of_the_wrong_kind_are_refused_with_the_remedy() -> None:
    model = tiny_model()
    with pytest.raises(InputError, match=r"wav\[None\]"):
        model(noise(16_000))
    with pytest.raises(InputError, match="divide 16-bit integers by 32768"):
        model(torch.zeros(1, 16_000, dtype=torch.int16))
    with pytest.raises(InputError, match="between 0 and 100"):
        model(noise(1, 100), torch.tensor([101]))
    with pytest.raises(InputError, match="one integer of samples per row"):
        model(noise(1, 100), torch.tensor([0.5]))
    with pytest.raises(InputError, match="one integer of samples per row"):
        model(noise(2, 100), torch.tensor([100]))


@pytest.mark.parametrize("way", [tiny_model(), PackedModel(tiny_model()), GraphedModel(tiny_model())])
@pytest.mark.parametrize("samples", [0, 100, 16_000])
def test_no_recordings_give_no_features(way, samples) -> None:
    """Whatever runs the model: a loader's filtered batch may be empty."""
    output = way(torch.zeros(0, samples))
    assert [layer.shape for layer in output.hidden_states] == [(0, -(-samples // 320), 16)] * 2
    assert output.lengths.shape == (0,)
    output, state = way.step(torch.zeros(0, way.config.chunk_samples), way.init_state(0))
    assert output.hidden_states[0].shape == (0, way.config.chunk_frames, 16)
    output, state = way.finish(state, torch.zeros(0, min(samples, 500)))
    assert (output.hidden_states[0].shape[0], state.batch) == (0, 0)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (16_000, 49)])
def test_no_recordings_give_no_features_of_the_bidirectional_reference(samples, frames) -> None:
    model = tiny_model(causal=False, front_pad="valid", normalize=True)
    assert model(torch.zeros(0, samples)).hidden_states[1].shape == (0, frames, 16)
    if frames:
        assert model(torch.zeros(1, samples)).hidden_states[1].shape == (1, frames, 16)


def test_a_step_takes_exactly_one_chunk() -> None:
    model = tiny_model()
    state = model.init_state(2)
    with pytest.raises(InputError, match=r"exactly one chunk of 6400 samples \(400 ms\)"):
        model.step(noise(2, 6399), state)
    with pytest.raises(StateError, match="holds 2 streams, the audio has 3 rows"):
        model.step(noise(3, 6400), state)
    with pytest.raises(InputError, match="bool tensor"):
        model.step(noise(2, 6400), state, torch.tensor([1, 0]))
    with pytest.raises(InputError, match="at most one chunk"):
        model.finish(state, noise(2, 6401))
    with pytest.raises(InputError, match="number of streams"):
        model.init_state(-1)


def test_a_bidirectional_model_refuses_to_stream() -> None:
    model = tiny_model(causal=False, front_pad="valid")
    with pytest.raises(ConfigError, match="cannot be streamed"):
        model.init_state(1)
    assert model(noise(1, 400)).last_hidden_state.shape == (1, 1, 16)
    with pytest.raises(InputError, match="at least 400 samples"):
        model(noise(1, 399))


def test_finish_without_a_tail_ends_the_stream_and_adds_nothing() -> None:
    model = tiny_model()
    with torch.inference_mode():
        _, state = model.step(noise(2, 6400), model.init_state(2))
        out, ended = model.finish(state, active=torch.tensor([True, False]))
    assert out.last_hidden_state.shape == (2, 0, 16)
    assert ended.position.tolist() == [0, 20]


def test_another_chunk_size_shares_the_weights() -> None:
    model = tiny_model()
    other = model.with_chunk(200)
    assert other.config.chunk_ms == 200
    assert model.config.chunk_ms == 400
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    wav = noise(1, 12_000)
    assert worst(other(wav).hidden_states, model(wav, chunk_ms=200).hidden_states) == 0
    with pytest.raises(ConfigError, match="multiple of the hop"):
        model.with_chunk(210)


def test_gradients_reach_every_weight() -> None:
    model = tiny_model(dropout=0.1).train()
    out = model(noise(2, 30_000), torch.tensor([30_000, 9_000]))
    sum(layer.square().mean() for layer in out.hidden_states).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gradients_of_one_pass_are_those_of_the_stream() -> None:
    model = tiny_model(chunk_ms=200)
    wav = noise(1, 3 * 3200)
    model(wav).last_hidden_state.square().sum().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    state, total = model.init_state(1), torch.zeros((), dtype=torch.float64)
    for chunk in wav.split(3200, dim=1):
        out, state = model.step(chunk, state)
        total = total + out.last_hidden_state.square().sum()
    total.backward()
    for a, b in zip(whole, model.parameters(), strict=True):
        assert torch.allclose(a, b.grad, rtol=1e-8, atol=1e-10)


def test_one_pass_over_a_long_recording_never_builds_a_square_mask(monkeypatch) -> None:
    import streaming_wavlm.encoder as encoder

    shapes = []
    real = encoder.visible_keys
    monkeypatch.setattr(
        encoder, "visible_keys", lambda *a: shapes.append((a[0].shape[1], a[1].shape[1])) or real(*a)
    )
    with torch.inference_mode():
        tiny_model()(noise(1, 40 * 16_000))
    assert max(queries * keys for queries, keys in shapes) < 300 * (300 + 32)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.2)])
def test_lower_precisions_agree_with_double(dtype, tolerance) -> None:
    model = tiny_model()
    lower = copy.deepcopy(model).to(dtype)
    wav = noise(1, 20_000)
    with torch.inference_mode():
        exact = model(wav).hidden_states
        out = lower(wav).hidden_states
        _, state = lower.step(wav[:, :6400], lower.init_state(1))
    assert out[0].dtype == state.keys[0].dtype == dtype
    assert worst([layer.double() for layer in out], exact) < tolerance


def test_autocast_runs_forward_step_and_backward() -> None:
    model = tiny_model(dtype=torch.float32)
    wav = noise(1, 12_800, dtype=torch.float32)
    exact = model(wav).hidden_states
    with torch.autocast("cpu", torch.bfloat16):
        out = model(wav).hidden_states
        _, state = model.step(wav[:, :6400], model.init_state(1))
        second, state = model.step(wav[:, 6400:], state)
    assert worst([layer.float() for layer in out], exact) < 0.2
    assert worst([layer.float() for layer in second.hidden_states], [e[:, 20:] for e in exact]) < 0.2
    out[-1].float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_torch_export_accepts_a_step() -> None:
    model = tiny_model(dtype=torch.float32)
    chunk, state = noise(2, 6400, dtype=torch.float32), model.init_state(2)

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, chunk, state):
            return self.model.step(chunk, state)

    with torch.no_grad():
        exported = torch.export.export(Step(), (chunk, state)).module()
        _, state = model.step(chunk, state)
        ours, ours_state = exported(chunk, state)
        theirs, theirs_state = model.step(chunk, state)
    assert worst(ours.hidden_states, theirs.hidden_states) < 1e-5
    assert torch.equal(ours_state.position, theirs_state.position)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_torch_compile_accepts_a_step(backend) -> None:
    model = tiny_model(dtype=torch.float32)
    compiled = torch.compile(model.step, backend=backend, fullgraph=True)
    active = torch.tensor([True, False])
    with torch.no_grad():
        state = other = model.init_state(2)
        for index in range(3):
            chunk = noise(2, 6400, seed=index, dtype=torch.float32)
            ours, state = compiled(chunk, state, active)
            theirs, other = model.step(chunk, other, active)
            assert worst(ours.hidden_states, theirs.hidden_states) < 1e-4


@pytest.mark.gpu
def test_the_gpu_gives_what_the_cpu_gives() -> None:
    model = tiny_model(dtype=torch.float32)
    gpu = copy.deepcopy(model).to("cuda")
    wav = noise(1, 20_000, dtype=torch.float32)
    with torch.inference_mode():
        out = gpu(wav.cuda()).hidden_states
        assert worst([layer.cpu() for layer in out], model(wav).hidden_states) < 1e-4


def test_the_config_of_a_model_has_the_hop_of_its_strides() -> None:
    config = tiny_config()
    assert (config.hop, config.chunk_samples, config.chunk_frames, config.receptive_field) == (
        320,
        6400,
        20,
        400,
    )
