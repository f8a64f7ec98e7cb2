"""The embedded speech: what the manifest lists is there, whole, small enough and attributed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from string import ascii_lowercase

import numpy as np
import pytest

from streaming_wavlm import audio, corpus
from streaming_wavlm.errors import InputError

LIMIT = 8 * 2**20
LANGUAGES = {"en", "es", "fr", "it", "ru"}


def test_the_folder_holds_exactly_what_the_manifest_lists() -> None:
    root = corpus.folder()
    listed = {clip.path for clip in corpus.clips()}
    found = {path for path in root.rglob("*") if path.is_file() and path.suffix == ".opus"}
    assert listed == found
    others = {path.name for path in root.rglob("*") if path.is_file()} - {path.name for path in found}
    assert others == {"manifest.tsv", "ATTRIBUTION.md", "LICENSE-CC-BY-SA-3.0.txt", "LICENSE-CC-BY-3.0.txt"}


def test_all_of_it_is_at_most_8_mib() -> None:
    assert sum(path.stat().st_size for path in corpus.folder().rglob("*") if path.is_file()) <= LIMIT


def test_every_clip_is_unharmed_and_as_long_as_the_manifest_says() -> None:
    for clip in corpus.clips():
        assert hashlib.sha256(clip.path.read_bytes()).hexdigest()[:16] == clip.sha256, clip.id
        assert audio.audio_info(clip.path) == audio.AudioInfo(16000, 1, clip.samples), clip.id
    assert len({clip.id for clip in corpus.clips()}) == len(corpus.clips())


@pytest.mark.parametrize("speaker", ["allison", "june", "carlo", "ivrvoice"])
def test_clips_decode_to_speech(speaker: str) -> None:
    clip = next(clip for clip in corpus.clips() if clip.speaker == speaker and clip.seconds > 2)
    samples = corpus.read(clip)
    assert samples.dtype == np.float32
    assert samples.shape == (clip.samples,)
    assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.5
    assert np.abs(samples).max() <= 1


def test_every_language_has_numbers_letters_days_months_and_sentences() -> None:
    wanted = {f"digits-{digit}" for digit in range(10)} | {f"letters-{letter}" for letter in ascii_lowercase}
    wanted |= {f"digits-day-{day}" for day in range(7)} | {f"digits-mon-{month}" for month in range(12)}
    for language in LANGUAGES:
        ours = [clip for clip in corpus.clips() if clip.language == language]
        assert wanted <= {clip.prompt for clip in ours}
        assert sum(2 <= clip.seconds < 15 for clip in ours) >= 40
        assert sum(clip.seconds > 8 for clip in ours) >= 2
    assert set(Counter(clip.language for clip in corpus.clips())) == LANGUAGES
    assert {(clip.language, clip.speaker) for clip in corpus.clips()} == {
        ("en", "allison"), ("es", "allison"), ("fr", "june"), ("it", "carlo"), ("ru", "ivrvoice"),
    }  # fmt: skip


def test_the_people_and_licences_are_named() -> None:
    text = (corpus.folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for name in ("Allison Smith", "June Wallack", "Carlo Flora", "Maxim Topal", "Digium", "were changed"):
        assert name in text
    for licence in re.findall(r"LICENSE-[A-Z0-9.-]+\.txt", text):
        assert "Licensor" in (corpus.folder() / licence).read_text(encoding="utf-8")


def test_a_long_recording_has_the_length_asked_for_and_starts_the_same_way() -> None:
    short, long = corpus.long_recording(9.5), corpus.long_recording(150)
    assert short.shape == (152_000,)
    assert long.shape == (2_400_000,)
    np.testing.assert_array_equal(long[: len(short)], short)
    # Speech from beginning to end, but for the pause between two recordings.
    seconds = long[: 150 * 16000].reshape(150, 16000)
    assert (np.sqrt((seconds**2).mean(axis=1)) > 0.005).mean() > 0.98
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="seconds"):
            corpus.long_recording(wrong)


def test_a_recording_of_less_than_a_sample_is_refused() -> None:
    with pytest.raises(InputError, match="at least one sample"):
        corpus.long_recording(1e-5)
    assert len(corpus.long_recording(1 / 16000)) == 1
