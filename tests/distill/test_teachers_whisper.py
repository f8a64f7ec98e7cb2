"""The Whisper encoder as a teacher, held against transformers' own and its feature extractor."""

from __future__ import annotations

import pytest
import torch

from offline_models import import_transformers
from streaming_wavlm.distill.teachers import TeacherConfig, WhisperTeacher, build
from streaming_wavlm.distill.teachers.mel import mel_filters, whisper_log_mel
from streaming_wavlm.errors import ConfigError, InputError, UnsupportedCheckpointError
from teacher_models import saved, waveform_model, whisper_config, whisper_encoder
from tiny import noise, worst

SECONDS = 2  # what the small encoder's 100 positions hold
LENGTHS = torch.tensor([9600, 6400, 1001])
WAVS = noise(3, 9600, dtype=torch.float32)


def extractor():
    return import_transformers().WhisperFeatureExtractor(feature_size=20, chunk_length=SECONDS)


@pytest.mark.parametrize("samples", [32_000, 9600, 1001, 37])
def test_the_log_mel_is_that_of_the_feature_extractor(samples) -> None:
    wav = noise(1, samples, dtype=torch.float32)
    # Where nothing pads it, the feature extractor mirrors the end; here what follows a recording is silence.
    wav[:, 31_960:] = 0
    wanted = torch.from_numpy(extractor()(wav[0].numpy(), sampling_rate=16_000)["input_features"])
    found, windows = whisper_log_mel(wav, torch.tensor([samples]), mel_filters(20))
    assert windows.item() == 2 * -(-samples // 320)
    assert (found - wanted[:, :, : windows.item()]).abs().max() < 1e-5


def test_on_a_full_input_it_is_transformers_encoder() -> None:
    model = whisper_encoder()
    wav = noise(1, SECONDS * 16_000, dtype=torch.float32)
    wav[:, 31_960:] = 0
    features = torch.from_numpy(extractor()(wav[0].numpy(), sampling_rate=16_000)["input_features"])
    with torch.no_grad():
        out = model(features, output_hidden_states=True)
    targets = WhisperTeacher(model, "w")(wav)
    assert targets.lengths.tolist() == [100]
    assert worst(targets.hidden_states, [*out.hidden_states[:-1], out.last_hidden_state]) < 1e-5


def test_targets_do_not_depend_on_the_batch() -> None:
    teacher = WhisperTeacher(whisper_encoder(), "w")
    targets = teacher(WAVS, LENGTHS)
    assert targets.lengths.tolist() == [30, 20, 4]
    for row, (samples, frames) in enumerate(zip(LENGTHS.tolist(), [30, 20, 4], strict=True)):
        alone = teacher(WAVS[row : row + 1, :samples])
        assert worst([h[row : row + 1, :frames] for h in targets.hidden_states], alone.hidden_states) < 1e-5
        assert all(h[row, frames:].abs().sum() == 0 for h in targets.hidden_states)


def test_the_loudest_window_is_sought_among_a_rows_own() -> None:
    """The window after a row's last hears its end as well, and is there only in a batch."""
    quiet = noise(2, 9600, dtype=torch.float32) * 1e-8
    quiet[1, 6399], quiet[1, 6400:] = 1.0, 0.0
    together, _ = whisper_log_mel(quiet, torch.tensor([9600, 6400]), mel_filters(20))
    alone, windows = whisper_log_mel(quiet[1:, :6400], torch.tensor([6400]), mel_filters(20))
    assert (together[1:, :, : windows.item()] - alone).abs().max() < 1e-5


def test_an_unmasked_batch_would_be_seen(monkeypatch) -> None:
    teacher = WhisperTeacher(whisper_encoder(), "w")
    right = teacher(WAVS, LENGTHS)
    forward = type(teacher.model.layers[0]).forward
    monkeypatch.setattr(
        type(teacher.model.layers[0]), "forward", lambda self, hidden, mask: forward(self, hidden, None)
    )
    wrong = teacher(WAVS, LENGTHS)
    assert worst(*([h[2, :4] for h in t.hidden_states] for t in (right, wrong))) > 1e-3


def test_a_row_without_audio_has_no_frames_and_harms_no_other() -> None:
    teacher = WhisperTeacher(whisper_encoder(), "w")
    targets = teacher(WAVS, torch.tensor([9600, 0, 1001]))
    assert targets.lengths.tolist() == [30, 0, 4]
    assert all(torch.isfinite(h).all() for h in targets.hidden_states)
    assert teacher(WAVS[:, :0], torch.tensor([0, 0, 0])).lengths.tolist() == [0, 0, 0]


def test_a_frame_hears_exactly_what_its_geometry_says() -> None:
    """Of the encoder's input; attention then gathers from everywhere."""
    teacher = WhisperTeacher(whisper_encoder(), "w", layers=[0]).double()
    geometry, frame = teacher.spec.geometry, 5
    wav = noise(1, 6400)
    before = teacher(wav).hidden_states[0][0, frame]
    first, last = int(geometry.first) + frame * geometry.hop, int(geometry.end(frame)) - 1

    def changes(sample: int) -> bool:
        other = wav.clone()
        other[0, sample] += 1.0
        return not torch.equal(teacher(other).hidden_states[0][0, frame], before)

    # The first sample of a Hann window has no weight.
    assert not changes(first)
    assert changes(first + 1)
    assert changes(last)
    assert not changes(last + 1)


def test_fewer_layers_are_the_first_ones() -> None:
    whole = WhisperTeacher(whisper_encoder(), "w")(WAVS, LENGTHS)
    teacher = WhisperTeacher(whisper_encoder(), "w", layers=(1, 2))
    assert len(teacher.model.layers) == 2
    assert worst(teacher(WAVS, LENGTHS).hidden_states, whole.hidden_states[1:3]) == 0


def test_a_recording_longer_than_its_positions_is_refused() -> None:
    with pytest.raises(InputError, match=r"hears at most 2 s, got 2\.1 s"):
        WhisperTeacher(whisper_encoder(), "w")(noise(1, 33_000, dtype=torch.float32))


def test_an_encoder_and_a_whole_model_are_built_from_their_folders(tmp_path) -> None:
    transformers = import_transformers()
    model = transformers.WhisperModel(whisper_config()).eval()
    wanted = WhisperTeacher(model.encoder, "w")(WAVS, LENGTHS)
    source = saved(model, tmp_path / "whole")
    alone = saved(model.encoder, tmp_path / "alone")
    for folder in (source, alone):
        teacher = build(TeacherConfig("w", source=folder))
        assert worst(teacher(WAVS, LENGTHS).hidden_states, wanted.hidden_states) < 1e-6
    with pytest.raises(ConfigError, match="does not hear normalised audio"):
        build(TeacherConfig("w", source=alone, normalize=True))
    short = build(TeacherConfig("w", source=alone), dtype=torch.bfloat16)
    assert short.filters.dtype == torch.float32
    assert short(WAVS, LENGTHS).hidden_states[0].dtype == torch.bfloat16


def test_another_model_is_refused() -> None:
    with pytest.raises(UnsupportedCheckpointError, match="not a WhisperEncoder"):
        WhisperTeacher(waveform_model("WavLM"), "w")


def test_it_has_no_positional_convolution() -> None:
    with pytest.raises(ConfigError, match="no positional convolution"):
        WhisperTeacher(whisper_encoder(), "w").positional(WAVS, LENGTHS)
