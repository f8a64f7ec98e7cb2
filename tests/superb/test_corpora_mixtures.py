"""Simulated mixtures: their parts add up, their ratios are what is said, and splits share nothing."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import burst, manifest, numbered, write

from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.corpora.activity import speech_pieces
from streaming_wavlm.superb.corpora.mixing import as_pcm, at_ratio, cut, speaker_pairs
from streaming_wavlm.superb.corpora.records import Utterance

COUNTS = {"train": 6, "dev": 4, "test": 4}
ROWS = numbered(COUNTS, speaker="{split}{i}")


def listed(folder: Path) -> dict[str, Path]:
    return {name: Path(path) for name, path in map(str.split, (folder / "wav.scp").read_text().splitlines())}


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0].astype(np.int64)


def test_two_voices_add_up_exactly_and_are_as_long_as_the_shorter(tmp_path) -> None:
    for i in range(6):
        write(tmp_path / "in" / f"train-{i}.wav", burst(1.2 + 0.2 * i, i))
    made = prepare("separation_stft", manifest(tmp_path / "in", ROWS), tmp_path / "out")
    assert made.counts == COUNTS
    for split in COUNTS:
        mixtures, first, second = (
            listed(tmp_path / "out" / split / kind) for kind in ("mix_clean", "s1", "s2")
        )
        assert set(mixtures) == set(first) == set(second)
        for name, path in mixtures.items():
            one, two = read(first[name]), read(second[name])
            assert np.array_equal(read(path), one + two)
            assert abs(10 * np.log10(np.mean(one**2) / np.mean(two**2))) < 5.1
    lengths = {len(read(path)) for path in listed(tmp_path / "out" / "train" / "mix_clean").values()}
    assert lengths <= {round(16000 * (1.2 + 0.2 * i)) for i in range(5)}


def test_noise_is_at_the_ratios_that_are_said_and_the_tests_is_its_own(tmp_path) -> None:
    tone = {
        name: 0.2 * np.sin(2 * np.pi * hertz * np.arange(80000) / 16000)
        for name, hertz in (("hum", 500), ("buzz", 3000))
    }
    rows = list(ROWS)
    for name, split in (("hum", "train"), ("buzz", "test")):
        write(tmp_path / "in" / f"{name}.wav", tone[name])
        rows.append({"id": name, "path": f"{name}.wav", "split": split, "kind": "noise", "speaker": ""})
    made = prepare("enhancement_stft", manifest(tmp_path / "in", rows), tmp_path / "out")
    assert made.notes == ()
    ratios = defaultdict(set)
    for split in COUNTS:
        clean = listed(tmp_path / "out" / split / "clean")
        for name, path in listed(tmp_path / "out" / split / "noisy").items():
            voice = read(clean[name])
            noise = read(path) - voice
            ratios[split].add(round(10 * np.log10(np.mean(voice**2) / np.mean(noise**2)), 1))
            loudest = np.abs(np.fft.rfft(noise)).argmax() * 16000 / len(noise)
            assert loudest == pytest.approx(3000 if split == "test" else 500, abs=2)
    assert ratios == {
        "train": {0.0, 5.0, 10.0, 15.0},
        "dev": {0.0, 5.0, 10.0, 15.0},
        "test": {2.5, 7.5, 12.5},
    }


def test_made_up_noise_is_said_to_be(tmp_path) -> None:
    made = prepare("enhancement_stft", manifest(tmp_path / "in", ROWS), tmp_path / "out")
    assert made.notes == ("there is no recorded noise: it is made up",)


def test_who_speaks_when_is_where_the_audio_is(tmp_path) -> None:
    for name in ("train-0", "train-1"):
        write(tmp_path / "in" / f"{name}.wav", burst(5, len(name), pauses=((1.5, 2.5), (4.6, 5))))
    rows = [row for row in ROWS if row["split"] != "train" or row["id"] in ("train-0", "train-1")]
    made = prepare("diarization", manifest(tmp_path / "in", rows), tmp_path / "out")
    assert made.counts == {"train": 2, "dev": 4, "test": 4}
    folder = tmp_path / "out" / "train"
    for name, path in listed(folder).items():
        turns = [
            line.split() for line in (folder / "rttm").read_text().splitlines() if line.split()[1] == name
        ]
        assert {turn[7] for turn in turns} == {"train0", "train1"}
        assert len(turns) == 4
        wave = read(path)
        said = np.zeros(len(wave), dtype=bool)
        for turn in turns:
            start, length = float(turn[3]), float(turn[4])
            said[round(start * 16000) : round((start + length) * 16000)] = True
        loud = np.abs(wave) > 200
        assert loud[~said].sum() == 0
        assert (
            np.mean([loud[i : i + 160].any() for i in range(0, len(wave), 160) if said[i : i + 160].all()])
            > 0.9
        )
        seconds = dict(line.split() for line in (folder / "reco2dur").read_text().splitlines())
        assert float(seconds[name]) == pytest.approx(len(wave) / 16000, abs=1e-4)


def test_long_segments_are_written_in_parts_that_cover_the_same_time(tmp_path) -> None:
    for row in ROWS:
        write(tmp_path / "in" / f"{row['id']}.wav", burst(5, int(row["id"][-1])))
    prepare("diarization", manifest(tmp_path / "in", ROWS), tmp_path / "out")
    folder = tmp_path / "out" / "test"
    owners = dict(line.split() for line in (folder / "utt2spk").read_text().splitlines())
    parts, whole = defaultdict(list), defaultdict(list)
    for line in (folder / "segments").read_text().splitlines():
        name, recording, start, end = line.split()
        parts[recording, owners[name]].append((float(start), float(end)))
    for line in (folder / "rttm").read_text().splitlines():
        fields = line.split()
        whole[fields[1], fields[7]].append((float(fields[3]), float(fields[3]) + float(fields[4])))
    assert parts.keys() == whole.keys()
    for key, found in parts.items():
        assert max(end - start for start, end in found) <= 2.01
        assert sum(end - start for start, end in found) == pytest.approx(
            sum(b - a for a, b in whole[key]), abs=0.02
        )


@pytest.mark.parametrize("task", ["diarization", "separation_stft", "enhancement_stft"])
def test_the_seed_decides_and_nothing_else(task, tmp_path) -> None:
    table = manifest(tmp_path / "in", ROWS)

    def content(folder: Path, seed: int) -> dict[str, bytes]:
        prepare(task, table, folder, seed=seed)
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.wav"))}

    assert content(tmp_path / "a", 0) == content(tmp_path / "b", 0) != content(tmp_path / "c", 1)


def test_pairs_are_of_two_speakers_and_every_utterance_comes_first_equally_often() -> None:
    utterances = [Utterance(f"{speaker}{i}", (), speaker=speaker) for speaker in "abc" for i in range(4)]
    pairs = list(speaker_pairs(utterances, 24, random.Random(0)))
    assert all(first.speaker != second.speaker for first, second in pairs)
    assert {first.id: sum(pair[0].id == first.id for pair in pairs) for first, _ in pairs} == dict.fromkeys(
        (utterance.id for utterance in utterances), 2
    )


def test_a_loud_sum_is_turned_down_as_a_whole() -> None:
    one, two = np.full(10, 0.9, np.float32), np.full(10, 0.9, np.float32)
    first, second, total = as_pcm(one, two)
    assert np.array_equal(total, first + second)
    assert np.abs(total).max() == pytest.approx(0.9 * 32768, abs=2)


def test_silence_has_no_ratio_and_short_audio_is_not_cut() -> None:
    assert not at_ratio(np.ones(4, np.float32), np.zeros(4, np.float32), 5).any()
    assert len(cut(np.ones(100, np.float32), 1.0, random.Random(0))) == 100


def test_pieces_of_speech_end_at_long_pauses_only() -> None:
    wave = burst(4, pauses=((1.0, 1.2), (2.0, 2.8), (3.9, 4.0))).astype(np.float32)
    (first, second) = ((start / 16000, end / 16000) for start, end in speech_pieces(wave))
    assert first == pytest.approx((0, 2.05), abs=0.02)
    assert second == pytest.approx((2.75, 3.95), abs=0.02)
