from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch

from streaming_wavlm.superb import audio_io


@pytest.fixture
def path(tmp_path):
    """Two channels of ten samples at 8 kHz, 16 bits."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.arange(20, dtype=np.int16).reshape(10, 2) * 1000, 8000, subtype="PCM_16")
    return path


def test_load_has_channels_first_and_full_scale_at_one(path) -> None:
    wave, rate = audio_io.load(path)
    assert (rate, wave.dtype, wave.shape) == (8000, torch.float32, (2, 10))
    assert wave[1, 0].item() == 1000 / 32768


def test_load_reads_a_part_and_other_layouts(path) -> None:
    whole, _ = audio_io.load(str(path))
    part, _ = audio_io.load(str(path), frame_offset=3, num_frames=4)
    torch.testing.assert_close(part, whole[:, 3:7])
    torch.testing.assert_close(audio_io.load(str(path), channels_first=False)[0], whole.T)
    integers, _ = audio_io.load(str(path), normalize=False)
    assert integers.dtype == torch.int16
    assert integers[1, 1].item() == 3000


def test_load_takes_open_files_and_options_of_other_versions(path) -> None:
    wave, _ = audio_io.load(io.BytesIO(path.read_bytes()), format="wav", backend="soundfile", buffer_size=1)
    assert wave.shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 50), (2, 50), (50,)])
def test_what_is_saved_loads_again_exactly(shape, tmp_path) -> None:
    wave = torch.randn(*shape)
    audio_io.save(tmp_path / "b.wav", wave, 16000)
    loaded, rate = audio_io.load(tmp_path / "b.wav")
    assert rate == 16000
    torch.testing.assert_close(loaded, torch.atleast_2d(wave), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("PCM_F", 32)),
        ({"encoding": "PCM_S", "bits_per_sample": 16}, ("PCM_S", 16)),
        ({"bits_per_sample": 24}, ("PCM_S", 24)),
        ({"encoding": "PCM_F", "bits_per_sample": 64}, ("PCM_F", 64)),
        ({"encoding": "PCM_U", "bits_per_sample": 8}, ("PCM_U", 8)),
    ],
)
def test_encodings_are_those_asked_for(options, expected, tmp_path) -> None:
    audio_io.save(str(tmp_path / "b.wav"), torch.zeros(1, 30), 16000, **options)
    info = audio_io.info(str(tmp_path / "b.wav"))
    assert (info.encoding, info.bits_per_sample) == expected


def test_info_has_the_fields_of_torchaudio(path) -> None:
    info = audio_io.info(path)
    assert (info.sample_rate, info.num_frames, info.num_channels) == (8000, 10, 2)
    assert (info.bits_per_sample, info.encoding) == (16, "PCM_S")


def test_flac_keeps_its_own_encoding(tmp_path) -> None:
    audio_io.save(tmp_path / "b.flac", torch.zeros(1, 30), 16000)
    assert audio_io.info(tmp_path / "b.flac").bits_per_sample == 16


def test_bytes_and_half_floats_are_taken_and_a_file_object_stays_where_it_is() -> None:
    for wave in (torch.tensor([[0, 128, 255]], dtype=torch.uint8), torch.tensor([[0.5, -0.5]]).half()):
        file = io.BytesIO()
        audio_io.save(file, wave, 16000)
        file.seek(0)
        told = audio_io.info(file)
        assert told.num_frames == wave.shape[1]
        loaded, rate = audio_io.load(file)
        expected = (wave.float() - 128) / 128 if wave.dtype == torch.uint8 else wave.float()
        assert rate == 16000
        assert torch.allclose(loaded, expected, atol=1e-4)
