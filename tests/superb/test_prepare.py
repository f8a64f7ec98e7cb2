"""The embedded speech in VoxCeleb1's layout; on a made-up set of clips, all of one short recording."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from streaming_wavlm import corpus
from streaming_wavlm.corpus import Clip
from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import workshop
from streaming_wavlm.superb.prepare import prepare_voxceleb1

PROMPTS = [f"prompt-{i}" for i in range(20)]
VOICES = [("allison", "en"), ("allison", "es"), ("june", "fr"), ("carlo", "it")]


@pytest.fixture(autouse=True)
def clips(monkeypatch, tmp_path_factory):
    recording = tmp_path_factory.mktemp("clips") / "clip.wav"
    soundfile.write(recording, np.full(3200, 0.25), 16000, subtype="PCM_16")
    made = tuple(
        Clip(f"{language}-{prompt}", recording, voice, language, prompt, 3200, "")
        for voice, language in VOICES
        for prompt in PROMPTS[: 18 if voice == "carlo" else 20]
    )
    monkeypatch.setattr(corpus, "clips", lambda: made)
    return made


def listed(folder: Path) -> list[tuple[str, str, str, str]]:
    """Split, speaker, language and prompt of each line."""
    lines = (folder / "veri_test_class.txt").read_text().splitlines()
    return [(line.split()[0], *Path(line.split()[1]).with_suffix("").parts) for line in lines]


def test_every_line_is_a_16_khz_mono_file_where_s3prl_looks(tmp_path) -> None:
    prepare_voxceleb1(tmp_path / "out")
    for split, speaker, language, prompt in listed(tmp_path / "out"):
        part = "test" if split == "3" else "dev"
        info = soundfile.info(tmp_path / "out" / part / "wav" / speaker / language / f"{prompt}.wav")
        assert (info.samplerate, info.channels, info.frames) == (16000, 1, 3200)


def test_no_prompt_is_in_two_splits(tmp_path) -> None:
    prepare_voxceleb1(tmp_path / "out")
    splits: dict[str, set[str]] = {}
    for split, _, _, prompt in listed(tmp_path / "out"):
        splits.setdefault(prompt, set()).add(split)
    assert set(map(len, splits.values())) == {1}


def test_speakers_are_the_voices_equally_often_in_each_split(tmp_path) -> None:
    made = prepare_voxceleb1(tmp_path / "out")
    assert made.classes == {"id10001": "allison", "id10002": "carlo", "id10003": "june"}
    lines = listed(tmp_path / "out")
    for split, name in (("1", "train"), ("2", "dev"), ("3", "test")):
        counts = Counter(speaker for found, speaker, _, _ in lines if found == split)
        assert len(counts) == 3
        assert len(set(counts.values())) == 1
        assert counts.total() == made.counts[name]
    assert made.chance == pytest.approx(1 / 3)


def test_a_voice_with_two_languages_speaks_both_as_often(tmp_path) -> None:
    prepare_voxceleb1(tmp_path / "out")
    counts = Counter((split, language) for split, _, language, _ in listed(tmp_path / "out"))
    assert all(abs(counts[split, "en"] - counts[split, "es"]) <= 1 for split in "123")


def test_the_seed_decides_and_nothing_else(tmp_path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare_voxceleb1(tmp_path / name, seed=seed)
    assert listed(tmp_path / "a") == listed(tmp_path / "b") != listed(tmp_path / "c")


def test_the_config_is_ready_and_follows_the_folder(tmp_path) -> None:
    made = prepare_voxceleb1(tmp_path / "out")
    data = yaml.safe_load(made.config.read_text())["downstream_expert"]["datarc"]
    assert (data["file_path"], data["meta_data"]) == (
        str(tmp_path / "out"), str(tmp_path / "out" / "veri_test_class.txt"),
    )  # fmt: skip
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = prepare_voxceleb1(tmp_path / "moved")
    assert yaml.safe_load(moved.config.read_text())["downstream_expert"]["datarc"]["file_path"] == str(
        tmp_path / "moved"
    )


def test_a_second_call_finds_the_work_done(tmp_path, monkeypatch) -> None:
    made = prepare_voxceleb1(tmp_path / "out")
    monkeypatch.setattr(corpus, "clips", None)
    assert prepare_voxceleb1(tmp_path / "out") == made


def test_other_settings_and_other_folders_are_refused(tmp_path) -> None:
    prepare_voxceleb1(tmp_path / "out")
    with pytest.raises(SuperbError, match="made with other settings"):
        prepare_voxceleb1(tmp_path / "out", seed=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(SuperbError, match="not a corpus that this command made"):
        prepare_voxceleb1(tmp_path / "mine")
    (tmp_path / "out" / "prepared.json").write_text(json.dumps({"format": 0}))
    with pytest.raises(SuperbError, match="not a corpus"):
        prepare_voxceleb1(tmp_path / "out")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


def test_an_empty_folder_is_used(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    assert prepare_voxceleb1(tmp_path / "out").config.is_file()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(workshop.soundfile, "write", full)
    with pytest.raises(OSError, match="disk full"):
        prepare_voxceleb1(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_real_speech_has_four_voices(monkeypatch) -> None:
    monkeypatch.undo()
    assert {clip.speaker for clip in corpus.clips()} == {"allison", "carlo", "ivrvoice", "june"}
