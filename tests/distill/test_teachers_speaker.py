"""The speaker encoder as a teacher: its front-end, its pieces, its vectors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from streaming_wavlm.distill.teachers import SpeakerTeacher, TeacherConfig, build
from streaming_wavlm.distill.teachers.mel import mel_filters
from streaming_wavlm.distill.teachers.speaker import _pieces
from streaming_wavlm.errors import CheckpointMismatchError, ConfigError
from teacher_models import speaker_tensors
from tiny import noise, worst

LENGTHS = torch.tensor([60_000, 25_000, 900])
WAVS = noise(3, 60_000, dtype=torch.float32)


def by_hand(tensors: dict[str, torch.Tensor], wav: torch.Tensor) -> torch.Tensor:
    """The published procedure for one recording louder than -30 dBFS, step by step."""
    step, length = 77, 160
    windows = -(-(len(wav) + 1) // 160)
    starts = list(range(0, max(1, windows - length + step + 1), step))
    if len(starts) > 1 and (len(wav) - starts[-1] * 160) / (length * 160) < 0.75:
        starts = starts[:-1]
    padded = torch.cat([wav, torch.zeros(max(0, (starts[-1] + length) * 160 - len(wav)))])
    spectrum = torch.stft(
        padded, 400, 160, window=torch.hann_window(400), pad_mode="constant", return_complex=True
    )
    mel = (spectrum.abs() ** 2).T @ mel_filters(40)
    lstm = torch.nn.LSTM(40, 12, 2, batch_first=True)
    lstm.load_state_dict({key[5:]: value for key, value in tensors.items() if key.startswith("lstm.")})
    vectors = []
    for start in starts:
        _, (hidden, _) = lstm(mel[None, start : start + length])
        raw = torch.relu(hidden[-1, 0] @ tensors["linear.weight"].T + tensors["linear.bias"])
        vectors.append(raw / raw.norm())
    mean = torch.stack(vectors).mean(0)
    return mean / mean.norm()


def test_the_filters_are_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    wanted = torch.from_numpy(librosa.filters.mel(sr=16_000, n_fft=400, n_mels=40)).T
    assert (mel_filters(40) - wanted).abs().max() < 1e-7


def test_the_vectors_are_those_of_the_published_procedure_whatever_the_batch() -> None:
    tensors = speaker_tensors()
    targets = SpeakerTeacher(tensors, "s")(WAVS, LENGTHS)
    assert targets.geometry is None
    assert targets.layers == (1,)
    assert targets.lengths.tolist() == [1, 1, 1]
    for row, samples in enumerate(LENGTHS.tolist()):
        with torch.no_grad():
            wanted = by_hand(tensors, WAVS[row, :samples])
        assert (targets.hidden_states[0][row, 0] - wanted).abs().max() < 1e-5
    assert worst(targets.hidden_states, [targets.hidden_states[0].roll(1, 0)]) > 1e-3


@pytest.mark.parametrize(
    ("seconds", "starts"), [(0.5, [0]), (1.6, [0]), (1.9, [0]), (2.0, [0, 77]), (3.0, [0, 77, 154])]
)
def test_recordings_are_cut_into_pieces_that_are_mostly_audio(seconds, starts) -> None:
    found = _pieces(round(seconds * 16_000))
    assert found == starts
    assert len(found) == 1 or seconds * 16_000 - found[-1] * 160 >= 0.75 * 25_600


def test_quiet_recordings_are_raised_and_loud_ones_left() -> None:
    teacher = SpeakerTeacher(speaker_tensors(), "s")
    quiet = WAVS * 0.01
    assert worst(teacher(quiet, LENGTHS).hidden_states, teacher(quiet * 2, LENGTHS).hidden_states) < 1e-5
    assert worst(teacher(WAVS, LENGTHS).hidden_states, teacher(WAVS * 2, LENGTHS).hidden_states) > 1e-4


def test_a_row_without_audio_says_nothing() -> None:
    targets = SpeakerTeacher(speaker_tensors(), "s")(WAVS, torch.tensor([60_000, 0, 900]))
    assert targets.lengths.tolist() == [1, 0, 1]
    assert targets.hidden_states[0][1].abs().sum() == 0
    assert torch.isfinite(targets.hidden_states[0]).all()


def test_it_is_built_from_a_safetensors_file_and_stays_in_float32(tmp_path) -> None:
    save_file(speaker_tensors(), tmp_path / "s.safetensors")
    config = TeacherConfig("s", kind="speaker", source=str(tmp_path / "s.safetensors"))
    teacher = build(config, dtype=torch.bfloat16, layers=(-1,))
    assert teacher.spec.dim == 6
    assert worst(teacher(WAVS).hidden_states, SpeakerTeacher(speaker_tensors(), "s")(WAVS).hidden_states) == 0


def test_other_weights_are_refused() -> None:
    with pytest.raises(CheckpointMismatchError, match="no GE2E speaker encoder"):
        SpeakerTeacher({"weight": torch.zeros(2, 2)}, "s")
    tensors = speaker_tensors()
    tensors["lstm.weight_ih_l0"] = torch.zeros(48, 80)
    with pytest.raises(CheckpointMismatchError, match="40 mel bands"):
        SpeakerTeacher(tensors, "s")


def test_it_has_no_positional_convolution() -> None:
    with pytest.raises(ConfigError, match="no positional convolution"):
        SpeakerTeacher(speaker_tensors(), "s").positional(WAVS, LENGTHS)
