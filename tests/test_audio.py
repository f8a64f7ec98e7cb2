"""Audio files: every format and rate, whole and in blocks, and what a broken one gets."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings

from streaming_wavlm import audio
from streaming_wavlm.errors import AudioError, InputError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_24"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    mono = 0.3 * np.sin(2 * np.pi * 440 * time)
    return mono if channels == 1 else np.stack([mono] * channels, axis=1)


def write(path: Path, samples: np.ndarray, rate: int, kind: str = "wav") -> Path:
    container, subtype = FORMATS[kind]
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_sound(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{kind}", tone(1.0, 48000, channels=2), 48000, kind)
    samples = audio.read_audio(path)
    assert samples.dtype == np.float32
    assert samples.shape == (16000,)
    assert np.corrcoef(samples[2000:14000], tone(1.0, 16000)[2000:14000])[0, 1] > 0.99
    assert audio.audio_info(path) == audio.AudioInfo(48000, 2, 48000)
    assert audio.audio_info(path).seconds == 1.0
    assert path.suffix in audio.audio_suffixes()


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 96000])
def test_every_rate_becomes_16_khz_in_one_piece_or_in_blocks(rate: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal(rate * 2 + 13).astype(np.float32) * 0.1
    path = write(tmp_path / "a.wav", samples, rate, "float.wav")
    expected = samples if rate == 16000 else soxr.resample(samples, rate, 16000, quality="HQ")
    np.testing.assert_array_equal(audio.read_audio(path), expected)
    blocks = list(audio.iter_audio(path, block_seconds=0.05))
    assert len(blocks) > 40
    assert max(map(len, blocks[:-1])) < 5000
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(100, 0.5, dtype=np.float32), np.full(100, -0.25, dtype=np.float32)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000, "float.wav")
    np.testing.assert_allclose(audio.read_audio(path), 0.125)


@given(
    rate=st.sampled_from([8000, 22050, 44100, 48000, 16001]),
    samples=st.integers(0, 20_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=30),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=60)
def test_resampling_packets_equals_resampling_the_whole(
    rate: int, samples: int, cuts: list[int], dtype: type
) -> None:
    wav = np.random.default_rng(samples).standard_normal(samples).astype(dtype)
    resampler = audio.Resampler(rate, dtype)
    for _ in range(2):  # finish() leaves it ready for the next stream
        pieces = [resampler.push(part) for part in np.split(wav, sorted(min(cut, samples) for cut in cuts))]
        joined = np.concatenate([*pieces, resampler.finish()])
        np.testing.assert_array_equal(joined, soxr.resample(wav, rate, 16000, quality="HQ"))


def test_resampling_each_packet_alone_is_not_the_same() -> None:
    wav = np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    whole = soxr.resample(wav, 48000, 16000, quality="HQ")
    alone = np.concatenate([soxr.resample(part, 48000, 16000) for part in np.split(wav, 100)])
    assert np.abs(whole - alone).max() > 0.1


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_the_resampler_holds_back_no_more_than_it_says(rate: int) -> None:
    resampler, pushed, got, held = audio.Resampler(rate), 0.0, 0.0, 0.0
    for _ in range(300):
        got += len(resampler.push(np.zeros(rate // 100, dtype=np.float32))) / 16000
        pushed += 0.01
        held = max(held, pushed - got)
    assert held < (0.14 if rate == 8000 else 0.06)


def broken_files(folder: Path) -> dict[str, Path]:
    """One file of every kind that cannot be read."""
    files = {name: folder / f"{name}.wav" for name in ("missing", "empty", "text", "no samples", "nan")}
    files["empty"].touch()
    files["text"].write_text("this is no audio, whatever its name says\n" * 20)
    write(files["no samples"], np.zeros(0), 16000)
    write(files["nan"], np.array([0.0, np.nan, 0.0]), 16000, "float.wav")
    files["cut"] = write(folder / "cut.flac", np.random.default_rng(0).uniform(-1, 1, 40_000), 16000, "flac")
    files["cut"].write_bytes(files["cut"].read_bytes()[:30_000])
    files["headerless"] = folder / "a.raw"
    files["headerless"].write_bytes(bytes(1000))
    files["folder"] = folder
    files["short"] = write(folder / "short.wav", np.zeros(1), 192000)
    return files


BROKEN = {
    "missing": "does not exist",
    "empty": "0 bytes",
    "text": "no audio that libsndfile reads",
    "no samples": "no audio",
    "nan": "NaN",
    "cut": "breaks off|cut short",
    "headerless": "no audio that libsndfile reads",
    "folder": "is a folder",
    "short": "too short",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(kind: str, tmp_path: Path) -> None:
    path = broken_files(tmp_path)[kind]
    with pytest.raises(AudioError, match=BROKEN[kind]) as caught:
        audio.read_audio(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("rate", [0, -8000, 16000.0, "8000", None, False])
def test_a_rate_that_is_no_positive_integer_is_refused(rate: object) -> None:
    with pytest.raises(InputError, match="sample_rate"):
        audio.Resampler(rate)  # type: ignore[arg-type]
