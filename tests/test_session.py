"""A session: any packets, any rate, the features of one pass; refusals that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings

from streaming_wavlm.errors import ConfigError, InputError, SessionClosedError, StateError
from streaming_wavlm.session import StreamSession
from tiny import noise, tiny_model

EXACT = 1e-10
MODELS = {
    "kernel-1": tiny_model(chunk_ms=80),
    "kernel-stride, whole chunks": tiny_model(
        chunk_ms=200, front_pad="kernel-stride", lookahead_size="chunk"
    ),
    "chunk beyond the window": tiny_model(chunk_ms=1000),
}
SIXTEEN = MODELS["kernel-1"]


def one_pass(model: Any, wav: np.ndarray) -> torch.Tensor:
    return torch.stack([layer[0] for layer in model(torch.from_numpy(wav)[None]).hidden_states]).detach()


def wav_of(samples: int, seed: int = 0) -> np.ndarray:
    return noise(samples, seed=seed).numpy()


def split(wav: np.ndarray, cuts: Iterable[int]) -> list[np.ndarray]:
    return np.split(wav, sorted(min(cut, len(wav)) for cut in cuts))


def streamed(session: Any, packets: Iterable[np.ndarray]) -> torch.Tensor:
    pieces = [session.push(packet) for packet in packets]
    return torch.cat([*pieces, session.finish()], dim=1)


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference; infinite when there are more frames in one than in the other."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - theirs).abs().max()) if ours.numel() else 0.0


@pytest.mark.parametrize("name", MODELS)
@given(
    samples=st.integers(0, 30_000), cuts=st.lists(st.integers(0, 30_000), max_size=20), seed=st.integers(0, 9)
)
@settings(max_examples=25)
def test_any_split_into_packets_equals_one_pass(name: str, samples: int, cuts: list[int], seed: int) -> None:
    model, wav = MODELS[name], wav_of(samples, seed)
    session = StreamSession(model)
    features = streamed(session, split(wav, cuts))
    assert difference(features, one_pass(model, wav)) < EXACT
    assert session.frames == features.shape[1] == -(-samples // 320)
    assert session.samples == samples


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@given(seconds=st.floats(0, 1.2), cuts=st.lists(st.floats(0, 1), max_size=12), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_any_rate_equals_one_pass_over_the_resampled_whole(
    rate: int, seconds: float, cuts: list[float], seed: int
) -> None:
    wav = wav_of(round(seconds * rate), seed)
    packets = split(wav, [round(cut * len(wav)) for cut in cuts])
    expected = one_pass(SIXTEEN, soxr.resample(wav, rate, 16000, quality="HQ"))
    assert difference(streamed(StreamSession(SIXTEEN, rate), packets), expected) < EXACT


class DropsTheTail(StreamSession):
    """Broken: what is left at the end never reaches the model."""

    def finish(self) -> torch.Tensor:
        self._buffer.clear()
        return super().finish()


class DropsTheRemainder(StreamSession):
    """Broken: what a packet holds beyond whole chunks is lost."""

    def push(self, packet: Any) -> torch.Tensor:
        self._buffer.clear()
        return super().push(packet)


class ResamplesEachPacketAlone(StreamSession):
    """Broken: the resampler forgets at every packet."""

    def push(self, packet: Any) -> torch.Tensor:
        features = super().push(packet)
        self._buffer.append(self._resampler.finish())
        return features


@pytest.mark.parametrize("broken", [DropsTheTail, DropsTheRemainder, ResamplesEachPacketAlone])
def test_broken_sessions_fail_the_same_check(broken: type[StreamSession]) -> None:
    rate = 48000 if broken is ResamplesEachPacketAlone else 16000
    wav = wav_of(rate)
    packets = split(wav, range(rate // 100, rate - 50, rate // 100))
    expected = one_pass(SIXTEEN, wav if rate == 16000 else soxr.resample(wav, rate, 16000, quality="HQ"))
    assert difference(streamed(StreamSession(SIXTEEN, rate), packets), expected) < EXACT
    assert difference(streamed(broken(SIXTEEN, rate), packets), expected) > 1e-3


def test_frames_come_as_soon_as_a_chunk_is_complete_and_not_before() -> None:
    session = StreamSession(SIXTEEN)
    wav = wav_of(5000)
    assert session.push(wav[:1279]).shape == (2, 0, 16)
    assert session.push(wav[1279:1280]).shape == (2, 4, 16)
    assert session.push(wav[1280:]).shape == (2, 8, 16)  # several chunks at once
    assert session.push([]).shape == (2, 0, 16)
    assert session.finish().shape == (2, 4, 16)


def test_sixteen_bit_integers_and_tensors_are_taken_as_they_are_meant() -> None:
    wav = (wav_of(4000) * 8000).astype(np.int16)
    expected = one_pass(SIXTEEN, wav / 32768)
    for packet in (
        wav,
        torch.from_numpy(wav),
        torch.from_numpy(wav / 32768).requires_grad_(),
        list(wav / 32768),
    ):
        assert difference(streamed(StreamSession(SIXTEEN), [packet]), expected) < EXACT


def test_float32_and_bfloat16_models_stream() -> None:
    wav = wav_of(6000).astype(np.float32)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.3)):
        model = tiny_model(dtype=dtype, chunk_ms=80)
        features = streamed(StreamSession(model), split(wav, range(0, 6000, 700)))
        assert features.dtype == dtype
        assert difference(features.double(), one_pass(SIXTEEN, wav.astype(np.float64))) < tolerance


def test_a_packet_may_be_reused_by_the_caller_right_away() -> None:
    wav, session, pieces = wav_of(4000), StreamSession(SIXTEEN), []
    memory = np.empty(400)
    for start in range(0, 4000, 400):
        memory[:] = wav[start : start + 400]
        pieces.append(session.push(memory))
        memory[:] = 1e3
    assert difference(torch.cat([*pieces, session.finish()], dim=1), one_pass(SIXTEEN, wav)) < EXACT


BAD_PACKETS = {
    "NaN": np.array([0.0, float("nan")]),
    "infinity": np.array([float("inf")]),
    "two-dimensional": np.zeros((1, 400)),
    "a single number": np.float64(0.5),
    "int32": np.zeros(400, dtype=np.int32),
    "bool": np.zeros(400, dtype=bool),
    "complex": np.zeros(400, dtype=complex),
    "bytes": b"\x00\x01",
    "ragged": [[0.0], [0.0, 1.0]],
    "None": None,
}


@pytest.mark.parametrize("kind", BAD_PACKETS)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_refused_packet_leaves_the_session_as_it_was(kind: str, rate: int) -> None:
    wav = wav_of(rate // 4)
    session, untouched = StreamSession(SIXTEEN, rate), StreamSession(SIXTEEN, rate)
    ours, theirs = [session.push(wav[:3000])], [untouched.push(wav[:3000])]
    with pytest.raises(InputError):
        session.push(BAD_PACKETS[kind])
    assert (session.samples, session.frames) == (untouched.samples, untouched.frames)
    for stream, pieces in ((session, ours), (untouched, theirs)):
        pieces += [stream.push(wav[3000:]), stream.finish()]
    assert difference(torch.cat(ours, 1), torch.cat(theirs, 1)) == 0


def test_a_value_that_overflows_in_the_models_precision_is_refused() -> None:
    with pytest.raises(InputError, match="infinity"):
        StreamSession(tiny_model(dtype=torch.float32)).push(np.array([1e300]))


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("failing", [1, 3, 5, "finish"])
def test_nothing_is_lost_when_the_model_fails(
    failing: int | str, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav = wav_of(rate // 2)
    model = tiny_model(chunk_ms=80)
    session, pieces = StreamSession(model, rate), []
    calls = {"step": 0, "finish": 0}

    def flaky(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            if (name == "finish" and failing == "finish" and calls[name] == 1) or calls["step"] == failing:
                calls["step"] += 1
                raise RuntimeError("out of memory")
            return original(*args, **kwargs)

        return call

    for name in calls:
        monkeypatch.setattr(model, name, flaky(name, getattr(model, name)))
    failures = 0
    for packet in split(wav, [len(wav) // 10, len(wav) * 3 // 4]):
        try:
            pieces.append(session.push(packet))
        except RuntimeError:
            failures += 1
    try:
        pieces.append(session.finish())
    except RuntimeError:
        failures += 1
        with pytest.raises(SessionClosedError):
            session.push(wav)
        pieces.append(session.finish())
    assert failures == 1
    monkeypatch.undo()
    expected = one_pass(model, wav if rate == 16000 else soxr.resample(wav, rate, 16000, quality="HQ"))
    assert difference(torch.cat(pieces, dim=1), expected) < EXACT


def test_a_finished_session_refuses_audio_until_reset() -> None:
    wav, session = wav_of(3000), StreamSession(SIXTEEN)
    session.push(wav_of(2000, seed=5))
    session.finish()
    assert session.closed
    with pytest.raises(SessionClosedError, match="reset"):
        session.push(wav)
    with pytest.raises(SessionClosedError, match="reset"):
        session.finish()
    session.reset()
    assert (session.closed, session.frames, session.samples, session.seconds) == (False, 0, 0, 0.0)
    assert difference(streamed(session, [wav]), one_pass(SIXTEEN, wav)) < EXACT


def test_reset_in_mid_stream_forgets_everything_at_any_rate() -> None:
    for rate in (16000, 44100):
        wav, session = wav_of(rate // 3), StreamSession(SIXTEEN, rate)
        session.push(wav_of(7777, seed=5))
        session.reset()
        expected = wav if rate == 16000 else soxr.resample(wav, rate, 16000, quality="HQ")
        assert difference(streamed(session, [wav]), one_pass(SIXTEEN, expected)) < EXACT


def test_a_fork_goes_on_by_itself() -> None:
    start, ours, theirs = wav_of(5000), wav_of(4000, seed=1), wav_of(2345, seed=2)
    session = StreamSession(SIXTEEN)
    head = session.push(start)
    twin = session.fork()
    assert (twin.frames, twin.samples) == (session.frames, session.samples)
    for stream, rest in ((session, ours), (twin, theirs)):
        features = torch.cat([head, streamed(stream, split(rest, [100, 2000]))], dim=1)
        assert difference(features, one_pass(SIXTEEN, np.concatenate([start, rest]))) < EXACT


def test_a_resampling_session_forks_only_where_that_is_exact() -> None:
    session = StreamSession(SIXTEEN, 48000)
    wav = wav_of(9000)
    assert difference(streamed(session.fork(), [wav]), streamed(session, [wav])) == 0
    assert session.fork().closed
    session.reset()
    session.push(wav)
    with pytest.raises(StateError, match="16000"):
        session.fork()


def test_layers_can_be_chosen() -> None:
    wav = wav_of(4000)
    expected = one_pass(SIXTEEN, wav)
    assert difference(streamed(StreamSession(SIXTEEN, layers=[-1]), [wav]), expected[1:]) < EXACT
    assert difference(streamed(StreamSession(SIXTEEN, layers=(1, 0)), [wav]), expected.flip(0)) < EXACT
    for wrong in ([2], [-3], [], [0, 0], [0, -2], [0.5], ["0"], [True]):
        with pytest.raises(InputError, match="layer"):
            StreamSession(SIXTEEN, layers=wrong)


def test_features_carry_no_gradient_and_can_train_a_head() -> None:
    features = streamed(StreamSession(SIXTEEN), [wav_of(4000)])
    assert not features.requires_grad
    head = torch.nn.Linear(16, 2).double()
    head(features).sum().backward()


@pytest.mark.parametrize("rate", [0, -1, 44100.5, "16000", None, True])
def test_a_rate_that_is_no_positive_integer_is_refused(rate: Any) -> None:
    with pytest.raises(InputError, match="sample_rate"):
        StreamSession(SIXTEEN, rate)


def test_models_that_cannot_stream_are_refused() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        StreamSession(tiny_model(causal=False, front_pad="valid"))
    model = tiny_model(dropout=0.1).train()
    with pytest.raises(InputError, match="eval"):
        StreamSession(model)
    StreamSession(model.eval())


def test_a_model_whose_parts_train_with_another_chunk_is_refused() -> None:
    model = tiny_model(dropout=0.1, chunk_ms=400)
    other = model.with_chunk(200).train()
    assert not model.training
    with pytest.raises(InputError, match="eval"):
        StreamSession(model)
    other.eval()
    StreamSession(model)


def test_a_long_stream_of_small_packets_holds_no_more_than_a_chunk() -> None:
    session = StreamSession(SIXTEEN, 48000)
    wav = wav_of(480)
    for _ in range(300):
        session.push(wav)
        assert len(session._buffer) < SIXTEEN.config.chunk_samples
    assert session.seconds == pytest.approx(3.0)
