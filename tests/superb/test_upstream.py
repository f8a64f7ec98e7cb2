"""The upstream by itself: what S3PRL may ask of it, and that padding, chunks and the future do not leak."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.errors import InputError
from streaming_wavlm.superb.upstream import TASK_KEYS, UpstreamExpert
from tiny import noise, tiny_model, worst


def expert(**changes) -> UpstreamExpert:
    return UpstreamExpert(tiny_model(**changes))


def test_one_tensor_per_layer_and_the_same_under_every_task() -> None:
    out = expert(num_layers=3)([noise(16000), noise(8001)])
    assert [tuple(layer.shape) for layer in out["hidden_states"]] == [(2, 50, 16)] * 3
    assert out["last_hidden_state"] is out["hidden_states"][-1]
    assert set(TASK_KEYS) == {
        "PR", "ASR", "KS", "QbE", "SID", "ASV", "SD", "ER", "IC", "SF", "SE", "SS", "ST",
    }  # fmt: skip
    assert all(out[key] is out["hidden_states"] for key in TASK_KEYS)


def test_a_frame_is_320_samples_for_every_key() -> None:
    assert {expert().get_downsample_rates(key) for key in ("hidden_states", *TASK_KEYS)} == {320}


@pytest.mark.parametrize("front_pad", ["kernel-1", "kernel-stride"])
@pytest.mark.parametrize("lookahead_size", [3, "chunk"])
def test_features_do_not_depend_on_the_rest_of_the_batch(front_pad, lookahead_size) -> None:
    upstream = expert(front_pad=front_pad, lookahead_size=lookahead_size)
    wavs = [noise(n, seed=n) for n in (9000, 800, 16000, 1, 6401)]
    together = upstream(wavs)["hidden_states"]
    for row, wav in enumerate(wavs):
        alone = upstream([wav])["hidden_states"]
        frames = -(-len(wav) // 320)
        assert alone[0].shape[1] == frames
        assert worst([layer[row, :frames] for layer in together], [layer[0] for layer in alone]) < 1e-10
        assert all(not layer[row, frames:].any() for layer in together)


def test_features_that_ignored_the_lengths_would_be_seen() -> None:
    upstream = expert(lookahead_size="chunk")
    wav = noise(3200)
    alone = upstream([wav])["hidden_states"]
    padded = upstream([torch.cat([wav, torch.zeros(3200)])])["hidden_states"]
    assert worst([layer[:, :10] for layer in padded], alone) > 1e-4


def test_features_do_not_depend_on_the_future() -> None:
    upstream = expert(chunk_ms=400)
    wav = noise(20000)
    changed = torch.cat([wav[:12800], noise(7200, seed=1)])
    before, after = upstream([wav])["hidden_states"], upstream([changed])["hidden_states"]
    # 12800 samples are two chunks: with kernel-1 padding their last frame hears nothing beyond them.
    assert worst([layer[:, :40] for layer in before], [layer[:, :40] for layer in after]) == 0
    assert worst([layer[:, 40:] for layer in before], [layer[:, 40:] for layer in after]) > 1e-3


@pytest.mark.parametrize("chunk_ms", [200, 400, 1000])
def test_one_pass_equals_streaming(chunk_ms) -> None:
    upstream = expert(chunk_ms=chunk_ms)
    wav = noise(37000)
    model, size = upstream.model, upstream.model.config.chunk_samples
    state, pieces = model.init_state(1), []
    whole = len(wav) // size * size
    for start in range(0, whole, size):
        out, state = model.step(wav[None, start : start + size], state)
        pieces.append(out.hidden_states)
    out, state = model.finish(state, wav[None, whole:])
    pieces.append(out.hidden_states)
    streamed = [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]
    assert worst(streamed, upstream([wav])["hidden_states"]) < 1e-10


def test_chunk_sizes_do_not_give_the_same() -> None:
    wav = [noise(16000)]
    a, b = (expert(chunk_ms=ms, lookahead_size="chunk")(wav)["hidden_states"] for ms in (200, 400))
    assert worst(a, b) > 1e-4


def test_train_mode_has_as_many_layers_and_gradients_reach_every_weight() -> None:
    upstream = expert(num_layers=3)
    wavs = [noise(4000), noise(3000)]
    evaluated = len(upstream(wavs)["hidden_states"])
    upstream.train()
    hidden_states = upstream(wavs)["hidden_states"]
    assert len(hidden_states) == evaluated == 3
    torch.stack(hidden_states).square().sum().backward()
    without = [name for name, p in upstream.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_gradients_reach_the_recordings() -> None:
    wav = noise(4000).requires_grad_()
    expert()([wav])["last_hidden_state"].sum().backward()
    assert wav.grad is not None
    assert wav.grad.any()


def test_the_mode_of_the_model_is_the_mode_of_the_upstream() -> None:
    assert not expert().training
    assert not expert().model.training


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 800])
def test_short_recordings_have_every_frame_they_begin(samples) -> None:
    out = expert()([noise(samples)])
    assert out["last_hidden_state"].shape == (1, -(-samples // 320), 16)
    assert torch.isfinite(out["last_hidden_state"]).all()


@pytest.mark.parametrize(
    ("wavs", "message"),
    [
        ([], "empty list"),
        (torch.zeros(2, 800), "takes a list"),
        ([torch.zeros(800), torch.zeros(0)], "recording 1 of the batch is empty"),
        ([torch.zeros(1, 800)], r"recording 0 of the batch must be a 1-D tensor \[samples\], got \[1, 800\]"),
        ([[0.0, 1.0]], "got list"),
        ([torch.zeros(800, dtype=torch.int16)], "divide 16-bit integers by 32768"),
        ([torch.zeros(800), torch.tensor([0.0, float("nan")])], "recording 1 of the batch holds NaN"),
        ([torch.tensor([float("inf")])], "infinite"),
    ],
)
def test_bad_recordings_are_named_errors(wavs, message) -> None:
    with pytest.raises(InputError, match=message):
        expert(dtype=torch.float32)(wavs)
