"""Finding phones in time, and the lists by which S3PRL splits phone recognition."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import soundfile
from made_speech import manifest, numbered, write

from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.corpora.activity import active_frames
from streaming_wavlm.superb.corpora.align import Aligner, Sample
from streaming_wavlm.superb.corpora.cepstra import cepstra
from streaming_wavlm.superb.corpora.lexicon import spoken_words
from streaming_wavlm.superb.corpora.phones import CLASSES, PHONES, parse_phones, unknown_phones

SOUNDS = ("AA", "IY", "S", "UW", "N", "Z")


def sounding(phones: list[str], frames: list[int], rng: np.random.Generator) -> np.ndarray:
    """Each phone is noise in a band of its own; SIL is near nothing."""
    pieces = []
    for phone, count in zip(phones, frames, strict=True):
        spectrum = np.fft.rfft(rng.standard_normal(count * 160))
        hertz = np.fft.rfftfreq(count * 160, 1 / 16000)
        if phone == "SIL":
            pieces.append(np.fft.irfft(spectrum, count * 160) * 1e-4)
        else:
            low = 200 + 1200 * SOUNDS.index(phone)
            pieces.append(np.fft.irfft(spectrum * ((hertz > low) & (hertz < low + 900)), count * 160))
    return 0.2 * np.concatenate(pieces)


def example(rng: np.random.Generator) -> tuple[np.ndarray, tuple[tuple[str, ...], ...], np.ndarray]:
    """A wave, its words, and the class of each frame."""
    words = tuple(tuple(rng.choice(SOUNDS, rng.integers(1, 4), replace=False)) for _ in range(3))
    phones: list[str] = ["SIL"]
    for word in words:
        phones += [*word, *(["SIL"] if rng.random() < 0.5 else [])]
    frames = [int(rng.integers(6, 25)) for _ in phones]
    truth = np.repeat([CLASSES[phone] for phone in phones], frames)
    return sounding(phones, frames, rng), words, truth


def test_phones_of_known_bounds_are_found_from_nothing() -> None:
    rng = np.random.default_rng(0)
    examples = [example(rng) for _ in range(40)]
    features = [cepstra(wave) for wave, _, _ in examples]
    every = np.concatenate(features)
    samples = [
        Sample((found - every.mean(0)) / every.std(0), active_frames(wave), words)
        for found, (wave, words, _) in zip(features, examples, strict=True)
    ]
    aligner = Aligner(samples[:30])
    right = np.concatenate(
        [
            aligner.labels(sample) == truth
            for sample, (_, _, truth) in zip(samples[30:], examples[30:], strict=True)
        ]
    )
    assert right.mean() > 0.9


def test_the_order_of_phones_is_kept_and_each_lasts_three_frames() -> None:
    rng = np.random.default_rng(1)
    wave, words, _ = example(rng)
    sample = Sample(cepstra(wave), active_frames(wave), words)
    labels = Aligner([sample], rounds=2).labels(sample)
    changes = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
    runs = [(PHONES[labels[start]], end - start) for start, end in itertools.pairwise(changes)]
    assert [phone for phone, _ in runs if phone != "SIL"] == [phone for word in words for phone in word]
    assert min(length for _, length in runs) >= 3


def test_every_10_ms_has_a_class_and_s3prls_draw_gives_the_splits_back(tmp_path) -> None:
    rng = np.random.default_rng(2)
    rows = numbered({"train": 24, "dev": 6, "test": 5}, speaker="{split}")
    for row in rows:
        wave, words, _ = example(rng)
        write(tmp_path / "in" / f"{row['id']}.wav", wave[: len(wave) - int(rng.integers(0, 150))])
        row["phones"] = " | ".join(" ".join(f"{phone}1" for phone in word) for word in words)
    made = prepare("phone_linear", manifest(tmp_path / "in", rows), tmp_path / "out")
    folder = tmp_path / "out" / "phones"
    listed = (folder / "train_split.txt").read_text().splitlines()
    random.seed(1337)  # as S3PRL does
    random.shuffle(listed)
    share = int(len(listed) * 0.9)
    assert all(name.startswith("train-") for name in listed[:share])
    assert all(name.startswith("dev-") for name in listed[share:])
    assert (made.counts["train"], made.counts["dev"], made.counts["test"]) == (share, len(listed) - share, 5)
    assert sum(made.skipped.values()) == 30 - len(listed)
    for line in (folder / "converted_aligned_phones.txt").read_text().splitlines():
        name, *labels = line.split(" ")
        (path,) = (tmp_path / "out" / "LibriSpeech").rglob(f"{name}.wav")
        assert len(labels) == soundfile.info(path).frames // 160
        assert {int(label) for label in labels} <= set(range(41))
    table = (tmp_path / "out" / "len_for_bucket" / "train-clean-100.csv").read_text()
    assert all(f"/{name}.wav," in table for name in (*listed, "test-0"))


def test_there_are_41_classes_and_stress_is_none_of_their_business() -> None:
    assert len(PHONES) == len(set(PHONES)) == 41
    assert parse_phones("ay0 | AH0 M |") == (("AY",), ("AH", "M"))
    assert unknown_phones(parse_phones("AY0 | QQ M")) == {"QQ"}


def test_the_words_of_the_embedded_prompts_are_made_of_known_phones() -> None:
    words = spoken_words()
    assert len(words) == 73
    assert not unknown_phones(tuple(phones for _, phones in words.values()))
    assert words["digits-7"] == ("SEVEN", ("S", "EH", "V", "AH", "N"))


@pytest.mark.parametrize("samples", [399, 1600, 1601, 16159])
def test_there_is_a_frame_for_each_whole_10_ms(samples) -> None:
    assert cepstra(np.zeros(samples, np.float32)).shape == (samples // 160, 26)
