"""Comparing a student with a teacher: known answers, and what cannot be compared."""

from __future__ import annotations

import copy
import logging
from typing import Any

import numpy as np
import pytest
import torch

from lab import voice
from offline_models import import_transformers
from streaming_wavlm.attention import relative_buckets
from streaming_wavlm.distill.compare import compare, paired_layers
from streaming_wavlm.distill.compare_fit import RidgeFit
from streaming_wavlm.distill.compare_result import LayerPair
from streaming_wavlm.distill.compare_tally import Spread, Tally
from streaming_wavlm.distill.teachers import LogMelTeacher, ReferenceTeacher, SpeakerTeacher, WhisperTeacher
from streaming_wavlm.errors import ConfigError, InputError
from streaming_wavlm.model import StreamingWavLM
from teacher_models import speaker_tensors, whisper_encoder
from tiny import noise, tiny_config, tiny_model

import_transformers()  # before anything of it that would import torchaudio

VOICES = [voice(16_000, seed) for seed in range(4)]


@pytest.fixture
def student() -> StreamingWavLM:
    """It looks at its neighbours: all frames of a chunk see the same, but the last miss half of theirs."""
    model = tiny_model(lookahead_size="chunk", chunk_ms=200, window_size=256, num_layers=3)
    near = relative_buckets(torch.arange(-3, 4), 32, 64)
    with torch.no_grad():
        model.encoder.relative_embedding.weight.fill_(-20)
        model.encoder.relative_embedding.weight[near] = 0
    return model


def test_a_student_hearing_the_whole_recording_is_itself(student: StreamingWavLM) -> None:
    found = compare(student, None, VOICES, chunks=["whole", 200])
    whole, chunked = found.chunks
    assert found.through == "direct"
    assert max(whole.errors) < 1e-9
    assert min(whole.cosines) > 1 - 1e-9
    assert min(chunked.errors) > 1e-3
    assert whole.by_future == ()


def test_smaller_chunks_cost_more_and_most_where_a_frame_sees_no_future(student: StreamingWavLM) -> None:
    found = compare(student, None, VOICES, chunks=[100, 200, 500])
    assert found.chunks[0].error > found.chunks[1].error > found.chunks[2].error > 0
    for item in found.chunks:
        blind, sighted = item.by_future[0], item.by_future[-1]
        assert (blind.start, sighted.start) == (0, item.chunk - 20)  # type: ignore[operator]
        assert blind.error > 1.2 * sighted.error, item.chunk


def test_the_errors_are_those_of_the_definition(student: StreamingWavLM) -> None:
    wav = torch.as_tensor(VOICES[0]).double()[None]
    with torch.no_grad():
        ours = student(wav, chunk_ms=200).hidden_states[1][0]
        theirs = student(wav, chunk_ms=1000).hidden_states[1][0]
    squares = (ours - theirs).square().sum(-1)
    spread = (theirs - theirs.mean(0)).square().sum(-1).mean()
    (item,) = compare(student, None, VOICES[:1], chunks=[200], pairs=[LayerPair(2, 2)]).chunks
    assert item.errors[0] == pytest.approx(float((squares.mean() / spread).sqrt()))
    assert item.cosines[0] == pytest.approx(float(torch.cosine_similarity(ours, theirs).mean()))
    assert [place.frames for place in item.by_future] == [5] * 10
    for place in item.by_future:  # 50 frames, chunks of 10: the last of a chunk sees nothing more
        at = squares[9 - round(place.start / 20) :: 10].mean()
        assert place.error == pytest.approx(float((at / spread).sqrt()))
    assert [(place.start, place.frames) for place in item.by_time] == [
        (0, 5), (0.1, 5), (0.2, 10), (0.4, 20), (0.8, 10)
    ]  # fmt: skip
    for place in item.by_time:
        first, last = round(place.start * 50), round(place.end * 50)
        assert place.error == pytest.approx(float((squares[first:last].mean() / spread).sqrt()))


def test_frames_whose_view_the_end_cuts_short_are_left_out(student: StreamingWavLM) -> None:
    (item,) = compare(student, None, [VOICES[0][:14_000]], chunks=[200]).chunks  # 44 frames
    assert [place.frames for place in item.by_future] == [4] * 10
    assert sum(place.frames for place in item.by_time) == 44


def test_with_a_block_of_lookahead_the_future_ends_with_the_block() -> None:
    tally = Tally(200, tiny_config(lookahead_size=3, chunk_ms=200), 1)
    frames = torch.arange(40)
    future, seen = tally._futures(frames, 40)
    assert seen.all()
    assert future[:20].tolist() == [3, 2, 1, 0, 3, 2, 1, 0, 1, 0, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0]


def test_a_shift_compares_other_frames(student: StreamingWavLM) -> None:
    teacher = ReferenceTeacher(copy.deepcopy(student), "t", chunk_ms="whole")
    exact, shifted = (compare(student, teacher, VOICES, chunks=["whole"], shift=n) for n in (0, 1))
    assert exact.chunks[0].error < 1e-9
    assert shifted.chunks[0].error > 0.05
    assert shifted.values()["shift"] == 1


def test_frames_are_compared_with_those_that_heard_the_same() -> None:
    """A student with kernel-1 padding hears 19.9 ms less: its frame t is the other's t - 1."""
    model = tiny_model(front_pad="kernel-stride", conv_pos=1, lookahead_size="chunk", window_size=256)
    other = tiny_model(front_pad="kernel-1", conv_pos=1, lookahead_size="chunk", window_size=256)
    other.load_state_dict(model.state_dict())
    teacher = ReferenceTeacher(model, "t", chunk_ms="whole")
    errors = {
        n: compare(other, teacher, VOICES, chunks=["whole"], shift=n).chunks[0].error for n in (-1, 0, 1)
    }
    assert errors[0] < 0.5 * min(errors[-1], errors[1])


def test_other_widths_are_compared_behind_a_map(student: StreamingWavLM) -> None:
    teacher = WhisperTeacher(whisper_encoder(d_model=12), "t")
    found = compare(student.float(), teacher, VOICES, chunks=[200, "whole"])
    assert found.through == "map"
    assert (found.recordings, found.seconds) == (2, 2.0)
    assert [str(pair) for pair in found.pairs] == ["1", "2", "3"]
    assert np.isfinite([item.errors for item in found.chunks]).all()
    with pytest.raises(ConfigError, match="16 channels and the teacher 12: they cannot be compared directly"):
        compare(student.float(), teacher, VOICES, through="direct")
    with pytest.raises(InputError, match="1 recordings; give at least one, or two where a map"):
        compare(student.float(), teacher, VOICES[:1])


def test_behind_a_map_a_turned_and_scaled_copy_is_the_same(student: StreamingWavLM) -> None:
    """What is linear in the student costs nothing behind the map, and all that directly."""

    class Turned(ReferenceTeacher):
        def compute(self, wavs: Any, lengths: Any) -> Any:
            hidden, frames = super().compute(wavs, lengths)
            turn = torch.linalg.qr(noise(16, 16, seed=5)).Q * torch.logspace(-1, 1, 16, dtype=torch.float64)
            return [layer @ turn + 3 for layer in hidden], frames

    teacher = Turned(copy.deepcopy(student), "t", chunk_ms="whole")
    voices = [voice(32_000, seed) for seed in range(8)]
    mapped = compare(student, teacher, voices, chunks=["whole", 100], through="map").chunks
    assert mapped[0].error < 0.1
    assert mapped[1].error > 1.2 * mapped[0].error
    assert compare(student, teacher, voices, chunks=["whole"]).chunks[0].error > 0.9


def test_the_map_is_ridge_regression_onto_channels_of_variance_1() -> None:
    frames, noisy = noise(400, 6, seed=1) + 2, noise(400, 3, seed=2)
    targets = frames @ noise(6, 3, seed=3) * torch.tensor([1.0, 10.0, 0.1]) + 5 + 1e-4 * noisy
    fit = RidgeFit()
    for part in (slice(0, 150), slice(150, 400)):
        fit.add(frames[part], targets[part])
    found = fit.solved()
    wanted = found.target(targets)
    assert torch.allclose(wanted.mean(0), torch.zeros(3).double(), atol=1e-9)
    assert torch.allclose(wanted.std(0, correction=0), torch.ones(3).double())
    assert float((found(frames) - wanted).square().mean()) < 1e-3


def test_a_channel_that_never_changes_weighs_nothing() -> None:
    frames = noise(100, 4)
    fit = RidgeFit()
    fit.add(frames, torch.cat([frames, torch.ones(100, 1)], dim=1))
    found = fit.solved()
    assert torch.isfinite(found.weight).all()
    assert float(found.target(torch.ones(1, 5))[0, -1].abs()) < 1e-6


def test_too_little_audio_for_a_map_is_told(
    student: StreamingWavLM, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        compare(student.float(), LogMelTeacher("t", mels=8), [wave[:4000] for wave in VOICES[:2]])
    assert "from 16 channels are fitted on 11 frames" in caplog.text


def test_layers_are_paired_by_number_or_by_depth(student: StreamingWavLM) -> None:
    deeper = ReferenceTeacher(tiny_model(num_layers=5), "t")
    assert [str(pair) for pair in paired_layers(student, deeper)] == ["1", "2", "3"]
    other = WhisperTeacher(whisper_encoder(d_model=12, encoder_layers=6), "t")
    assert [str(pair) for pair in paired_layers(student, other)] == ["1:2", "2:4", "3:6"]
    assert [str(pair) for pair in paired_layers(student, None, [1, -1])] == ["1", "3"]
    assert [str(pair) for pair in paired_layers(student, LogMelTeacher("t"))] == ["1", "2:1", "3:1"]


def test_what_cannot_be_compared_is_refused(student: StreamingWavLM) -> None:
    speaker = SpeakerTeacher(speaker_tensors(), "voice")
    with pytest.raises(ConfigError, match="'voice' speaks once per recording"):
        compare(student, speaker, VOICES)
    with pytest.raises(ConfigError, match="give the streaming student first"):
        compare(tiny_model(causal=False, front_pad="valid"), None, VOICES)
    with pytest.raises(ConfigError, match=r"chunk_ms must be a multiple of the hop \(20 ms\), got 210"):
        compare(student, None, VOICES, chunks=[210])
    with pytest.raises(ConfigError, match="every size can be given once"):
        compare(student, None, VOICES, chunks=[200, 200])
    with pytest.raises(ConfigError, match="the student has layers 1 to 3, got 4"):
        compare(student, None, VOICES, pairs=[LayerPair(4, 1)])
    with pytest.raises(ConfigError, match="the teacher gives layers 1 to 3, got 0"):
        compare(student, None, VOICES, pairs=[LayerPair(1, 0)])
    with pytest.raises(ConfigError, match="every pair of layers can be compared once, got 1 1"):
        compare(student, None, VOICES, pairs=[LayerPair(1, 1)] * 2)
    with pytest.raises(InputError, match="0 recordings"):
        compare(student, None, [])


def test_a_teacher_that_says_always_the_same_is_an_error() -> None:
    spread = Spread()
    spread.add(torch.full((20, 4), 3.0))
    with pytest.raises(InputError, match="layer 2 of the teacher says the same at every frame"):
        spread.of(LayerPair(1, 2))
    with pytest.raises(InputError, match="no frame that both"):
        Spread().of(LayerPair(1, 2))
