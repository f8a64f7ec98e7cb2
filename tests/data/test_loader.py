from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from lab import make_corpus, toy_recipe, voice
from streaming_wavlm.augment import Augment, AugmentConfig
from streaming_wavlm.data import Batch, BatchPlan, DataError, HeldOut, Loader, SourceConfig, open_corpus
from streaming_wavlm.data.reader import NoiseBank, Reader
from streaming_wavlm.data.utterance import FileUtterance
from streaming_wavlm.distill.workshop import _augment

RATE = 16_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    return tmp_path


def make_loader(root: Path, *, cache: bool = False, group: int = 1, **changes: Any) -> Loader:
    corpus = open_corpus([SourceConfig("voices/manifest.tsv")], root)
    longest = RATE // 2
    plan = BatchPlan(
        corpus.samples.clip(max=longest),
        corpus.repeats,
        batch_samples=2 * RATE,
        buckets=3,
        seed=1,
        group=group,
    )
    settings = {"places": range(1), "seed": 1, "min_samples": 800, "max_samples": longest, **changes}
    return Loader(Reader(corpus, cache), plan, **settings)


def take(loader: Loader, count: int, start: int = 0) -> list[Batch]:
    steps = loader.steps(start)
    found = [batch for step in islice(steps, count) for batch in step]
    steps.close()
    return found


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    pairs = list(zip(ours, theirs, strict=True))
    return all(
        a.names == b.names and torch.equal(a.wavs, b.wavs) and torch.equal(a.lengths, b.lengths)
        for a, b in pairs
    )


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_whoever_reads_them(root: Path, workers: int, cache: bool) -> None:
    augment = Augment(AugmentConfig(noise_share=0.5, overlap_share=0.5))
    alone = take(make_loader(root, transform=augment, cache=cache), 20)
    assert same(alone, take(make_loader(root, transform=augment, cache=cache, workers=workers), 20))


def test_a_change_of_the_audio_is_told_which_recordings_it_has(root: Path) -> None:
    told: list[tuple[str, ...]] = []

    def note(wavs: Any, lengths: Any, rng: Any, names: Any) -> Any:
        told.append(tuple(names))
        return wavs

    assert [batch.names for batch in take(make_loader(root, transform=note), 5)] == told


@pytest.mark.parametrize("cache", [False, True])
def test_going_on_from_any_step_gives_what_would_have_come(root: Path, cache: bool) -> None:
    whole = take(make_loader(root, cache=cache), 20)
    for start in (1, 7, 13):
        assert same(whole[start:], take(make_loader(root, cache=cache), 20 - start, start))


def test_long_recordings_are_cut_at_random_places(root: Path) -> None:
    pieces: dict[str, set[bytes]] = {}
    for batch in take(make_loader(root), 60):
        assert batch.wavs.shape[1] <= RATE // 2
        for name, wav, length in zip(batch.names, batch.wavs, batch.lengths.tolist(), strict=True):
            pieces.setdefault(name, set()).add(wav[:length].numpy().tobytes())
    assert len(pieces["voice00"]) == 1  # 0.3 s: taken whole
    assert len(pieces["voice23"]) > 3


def test_processes_share_a_step_without_overlap(root: Path) -> None:
    both = make_loader(root, group=2, places=range(2))
    first, second = (make_loader(root, group=2, places=range(p, p + 1)) for p in (0, 1))
    for step in range(5):
        joint = both.load(step)
        assert same(list(joint), [*first.load(step), *second.load(step)])
        assert not set(joint[0].names) & set(joint[1].names)


def test_unreadable_recordings_are_left_out_and_named(root: Path) -> None:
    whole = take(make_loader(root), 20)
    (root / "voices/audio/voice03.wav").write_bytes(b"no audio")
    (root / "voices/audio/voice04.wav").unlink()
    soundfile.write(root / "voices/audio/voice07.wav", np.full(8000, np.nan), RATE, subtype="FLOAT")
    damaged = take(make_loader(root), 20)
    bad = [why for batch in damaged for why in batch.bad]
    assert any("voice03.wav" in why for why in bad)
    assert any("voice04.wav" in why for why in bad)
    assert any("voice07.wav holds NaN" in why for why in bad)
    for before, after in zip(whole, damaged, strict=True):
        kept = [name for name in before.names if name not in ("voice03", "voice04", "voice07")]
        assert kept == list(after.names) or not kept
        assert len(after.names)


@pytest.mark.parametrize("cache", [False, True])
def test_a_recording_that_ends_early_is_left_out(root: Path, cache: bool) -> None:
    manifest = root / "voices/manifest.tsv"
    lines = manifest.read_text().splitlines()
    lines[1] = "\t".join([*lines[1].split("\t")[:-1], "3600"])
    manifest.write_text("\n".join(lines) + "\n")
    bad = [why for batch in take(make_loader(root, cache=cache), 40) for why in batch.bad]
    assert bad
    assert all("voice00" in why for why in bad)


def test_nothing_readable_is_an_error(root: Path) -> None:
    for path in (root / "voices/audio").glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="in a row cannot be read"):
        make_loader(root).load(0)
    with pytest.raises(DataError, match="in a row cannot be read"):
        take(make_loader(root, workers=2), 1)


def test_the_cache_decodes_once_and_rounds_to_16_bits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = open_corpus([SourceConfig("voices/manifest.tsv")], root)
    kept, fresh = Reader(corpus, cache=True), Reader(corpus)
    first = kept.read(5, 1000, 2000)
    for path in (root / "voices/audio").glob("*.wav"):
        path.rename(path.with_suffix(".away"))
    np.testing.assert_array_equal(kept.read(5, 1000, 2000), first)
    for path in (root / "voices/audio").glob("*.away"):
        path.rename(path.with_suffix(".wav"))
    np.testing.assert_allclose(fresh.read(5, 1000, 2000), first, atol=1 / 32768)


def test_held_out_batches_have_every_recording_once_from_its_start(root: Path) -> None:
    reader = Reader(open_corpus([SourceConfig("voices/manifest.tsv")], root))
    held_out = HeldOut(reader, batch_samples=2 * RATE, max_samples=RATE // 2)
    assert sorted(np.concatenate(held_out.batches).tolist()) == list(range(24))
    batches = list(held_out.load())
    assert sum(len(batch.lengths) for batch in batches) == 24
    assert all(batch.wavs.numel() <= 2 * RATE for batch in batches)
    parts = [batch for rank in range(2) for batch in held_out.load(rank, 2)]
    assert sum(len(batch.lengths) for batch in parts) == 24
    few = HeldOut(reader, batch_samples=2 * RATE, max_samples=RATE // 2, limit=2 * RATE)
    again = HeldOut(reader, batch_samples=2 * RATE, max_samples=RATE // 2, limit=2 * RATE)
    chosen = np.concatenate(few.batches)
    assert 3 <= len(chosen) <= 6
    np.testing.assert_array_equal(chosen, np.concatenate(again.batches))


@pytest.mark.parametrize("cache", [False, True])
def test_held_out_recordings_end_where_their_manifest_says(root: Path, cache: bool) -> None:
    manifest = root / "voices/manifest.tsv"
    head, *rows = manifest.read_text().splitlines()
    short = ["\t".join([*row.split("\t")[:-1], "0.2"]) for row in rows]
    manifest.write_text("\n".join([head, *short]) + "\n")
    reader = Reader(open_corpus([SourceConfig("voices/manifest.tsv")], root), cache)
    held_out = HeldOut(reader, batch_samples=2 * RATE, max_samples=RATE // 2)
    assert {length for batch in held_out.load() for length in batch.lengths.tolist()} == {RATE // 5}


def test_noise_is_drawn_by_length_and_repeated_where_it_is_short(root: Path) -> None:
    bank = NoiseBank(open_corpus([SourceConfig("voices/manifest.tsv")], root))
    noise = bank(5 * RATE, np.random.default_rng(0))
    assert len(noise) == 5 * RATE
    assert np.abs(noise[-RATE:]).max() > 0.01
    np.testing.assert_array_equal(noise, bank(5 * RATE, np.random.default_rng(0)))
    for path in (root / "voices/audio").glob("*.wav"):
        path.write_bytes(b"")
    fresh = NoiseBank(open_corpus([SourceConfig("voices/manifest.tsv")], root))
    with pytest.raises(DataError, match="noise cannot be read"):
        fresh(RATE, np.random.default_rng(0))


@pytest.mark.parametrize("samples", [400, 2000, 40_000])
def test_noise_is_the_same_whether_it_is_kept_or_read_part_by_part(tmp_path: Path, samples: int) -> None:
    """Draws wrap around the end; one recording is shorter than its manifest says, and one has 24 bits."""
    make_corpus(tmp_path, count=4, shortest=0.1, longest=0.4)
    soundfile.write(tmp_path / "voices/audio/voice01.wav", voice(1000, 1), RATE)
    soundfile.write(tmp_path / "voices/audio/voice03.wav", voice(6400, 3), RATE, subtype="PCM_24")
    corpus = open_corpus([SourceConfig("voices/manifest.tsv")], tmp_path)
    kept, fresh = NoiseBank(corpus, cache=True), NoiseBank(corpus)
    ours, theirs = np.random.default_rng(1), np.random.default_rng(1)
    for _ in range(60):
        np.testing.assert_array_equal(fresh(samples, ours), kept(samples, theirs), strict=True)
    assert ours.random() == theirs.random()


def test_noise_that_is_not_to_be_kept_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "long.wav", voice(60 * RATE, 0), RATE)
    read: list[int] = []
    original = FileUtterance.read

    def counting(self: FileUtterance, start: int, count: int) -> np.ndarray:
        wave = original(self, start, count)
        read.append(len(wave))
        return wave

    monkeypatch.setattr(FileUtterance, "read", counting)
    recipe = toy_recipe(tmp_path, tmp_path / "run", data={"noise": [{"path": "noise", "kind": "folder"}]})
    augment = _augment(recipe)
    assert augment is not None
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert len(augment._noise(800, rng)) == 800
    assert sum(read) == 5 * 800
