"""What a comparison hears of audio files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lab import RATE, voice
from streaming_wavlm.audio import read_audio
from streaming_wavlm.distill.compare_audio import Beginnings, beginning


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("seconds", [0.5, 12.0, 60.0])
def test_a_beginning_is_that_of_the_whole_file(tmp_path: Path, rate: int, seconds: float) -> None:
    soundfile.write(tmp_path / "a.flac", voice(13 * rate, 0), rate)
    whole = read_audio(tmp_path / "a.flac")
    np.testing.assert_array_equal(
        beginning(tmp_path / "a.flac", seconds), whole[: round(seconds * RATE)], strict=True
    )


def test_what_follows_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", voice(60 * RATE, 0), RATE)
    read: list[int] = []
    original = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, frames: int = -1, **options: object) -> np.ndarray:
        samples = original(self, frames, **options)
        read.append(len(samples))
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    assert len(beginning(tmp_path / "a.wav", 1.0)) == RATE
    assert sum(read) == RATE


def test_files_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        soundfile.write(path, voice(1000 + number, number), RATE)
    paths[2].write_bytes(b"RIFF")
    recordings, problems = Beginnings(paths, 1.0).readable()
    assert recordings.paths == (paths[0], paths[1], paths[3])
    assert len(problems) == 1
    assert "2.wav" in problems[0]
    other = recordings[1::2]
    assert isinstance(other, Beginnings)
    assert [len(wave) for wave in other] == [1001]
    soundfile.write(paths[1], voice(500, 9), RATE)
    assert [len(wave) for wave in other] == [500]
