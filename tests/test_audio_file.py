"""Audio files read from front to back: the same samples in pieces of any size, and lengths left open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming_wavlm import audio, corpus
from streaming_wavlm.data.decode import read_segment

SPEECH = corpus.long_recording(12)


def written(path: Path, rate: int = 16000, **options: object) -> Path:
    samples = (
        SPEECH
        if rate == 16000
        else np.interp(np.arange(12 * rate) / rate, np.arange(len(SPEECH)) / 16000, SPEECH)
    )
    soundfile.write(path, samples, rate, **options)
    return path


def mp3(folder: Path, rate: int) -> Path:
    return written(folder / "a.mp3", rate, bitrate_mode="VARIABLE", compression_level=0.9)


def endless_flac(folder: Path) -> Path:
    """FLAC as a pipe gets it: written before its length was known."""
    path = written(folder / "a.flac")
    header = bytearray(path.read_bytes())
    header[21] &= 0xF0
    header[22:26] = bytes(4)
    path.write_bytes(header)
    return path


@pytest.mark.parametrize("rate", [16000, 44100])
def test_an_mp3_sounds_the_same_in_blocks_of_any_size(rate: int, tmp_path: Path) -> None:
    path = mp3(tmp_path, rate)
    at_once, _ = soundfile.read(path, dtype="float32")
    resampler = audio.Resampler(rate)
    expected = np.concatenate([resampler.push(at_once), resampler.finish()])
    for seconds in (0.02, 0.5, 10.0, 60.0):
        found = np.concatenate(list(audio.iter_audio(path, seconds)))
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_segment_of_an_mp3_sounds_as_it_does_in_the_whole(rate: int, tmp_path: Path) -> None:
    path = mp3(tmp_path, rate)
    at_once, _ = soundfile.read(path, dtype="float32")
    for start in range(0, 11 * 16000, 9973):
        begin = start * rate // 16000
        resampler = audio.Resampler(rate)
        part = at_once[begin : begin + -(-8000 * rate // 16000)]
        expected = np.concatenate([resampler.push(part), resampler.finish()])[:8000]
        np.testing.assert_allclose(read_segment(path, start, 8000), expected, atol=1e-6)


def test_flac_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = endless_flac(tmp_path)
    expected, _ = soundfile.read(written(tmp_path / "b.flac"), dtype="float32")
    assert audio.audio_info(path) == audio.AudioInfo(16000, 1, len(expected))
    np.testing.assert_array_equal(audio.read_audio(path), expected)
    np.testing.assert_array_equal(np.concatenate(list(audio.iter_audio(path, 0.1))), expected)
    np.testing.assert_array_equal(read_segment(path, 50_000, 1000), expected[50_000:51_000])


def test_a_header_cannot_ask_for_more_memory_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, SPEECH[:1000], 2**31 - 1)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames, **rest: asked.append(frames) or read(self, frames, **rest),
    )
    with pytest.raises(audio.AudioError, match="too short"):
        audio.read_audio(path)
    assert max(asked) <= 2**22
