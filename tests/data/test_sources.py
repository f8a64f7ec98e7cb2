from __future__ import annotations

import gzip
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lab import RATE, make_corpus, voice
from streaming_wavlm.data import DataError, SourceConfig, open_corpus
from streaming_wavlm.errors import AudioError, ConfigError

lhotse = pytest.importorskip("lhotse")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_corpus(tmp_path, count=6)
    return tmp_path


def recordings(root: Path) -> Any:
    paths = sorted((root / "voices" / "audio").glob("*.wav"))
    return lhotse.RecordingSet.from_recordings(lhotse.Recording.from_file(path) for path in paths)


def shar(root: Path, cuts: Any, shard_size: int = 4) -> Path:
    folder = root / "shar"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cuts.to_shar(folder, fields={"recording": "wav"}, shard_size=shard_size)
    return folder


def write_all_kinds(root: Path) -> dict[str, SourceConfig]:
    found = recordings(root)
    found.to_file(root / "recordings.jsonl.gz")
    cuts = lhotse.CutSet.from_manifests(recordings=found)
    cuts.to_file(root / "cuts.jsonl.gz")
    shar(root, cuts)
    return {
        "tsv": SourceConfig("voices/manifest.tsv"),
        "folder": SourceConfig("voices/audio", "folder"),
        "recordings": SourceConfig("recordings.jsonl.gz", "recordings"),
        "cuts": SourceConfig("cuts.jsonl.gz", "cuts"),
        "shar": SourceConfig("shar", "shar"),
    }


def test_every_kind_of_source_gives_the_same_audio(root: Path) -> None:
    sources = write_all_kinds(root)
    corpora = {kind: open_corpus([source], root) for kind, source in sources.items()}
    wanted = corpora["tsv"]
    assert len(wanted.utterances) == 6
    for corpus in corpora.values():
        np.testing.assert_array_equal(corpus.samples, wanted.samples)
        for ours, theirs in zip(corpus.utterances, wanted.utterances, strict=True):
            np.testing.assert_allclose(ours.read(0, ours.samples), theirs.read(0, ours.samples), atol=1e-4)
            np.testing.assert_allclose(ours.read(1600, 800), theirs.read(1600, 800), atol=1e-4)


def test_a_shar_is_read_out_of_order_and_across_shards(root: Path) -> None:
    corpus = open_corpus([write_all_kinds(root)["shar"]], root)
    assert len({utterance.archive for utterance in corpus.utterances}) == 2
    for index in (5, 0, 4):
        number = int(corpus.utterances[index].name.removeprefix("voice")[:2])
        expected = voice(int(corpus.samples[index]), number)
        np.testing.assert_allclose(corpus.utterances[index].read(0, len(expected)), expected, atol=1e-4)


def test_audio_that_a_shar_lacks_is_counted_and_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the two cuts without audio one was stored so, the other is lost."""
    folder = shar(root, lhotse.CutSet.from_manifests(recordings=recordings(root)), shard_size=6)
    whole, archive = folder / "whole.tar", folder / "recording.000000.tar"
    archive.rename(whole)
    with tarfile.open(whole) as old, tarfile.open(archive, "w") as new:
        for number, member in enumerate(old.getmembers()):
            if number >= 4:
                new.addfile(member, old.extractfile(member))
            elif number == 0:
                new.addfile(tarfile.TarInfo(str(Path(member.name).with_suffix(".nodata"))))
    corpus = open_corpus([SourceConfig("shar", "shar")], root)
    assert len(corpus.utterances) == 5
    assert "has no audio for 1 cuts" in caplog.text
    lost = corpus.utterances[0]
    assert lost.samples > 0
    with pytest.raises(AudioError, match="no audio of that name"):
        lost.read(0, 100)
    assert len(corpus.utterances[1].read(0, 100)) == 100


def test_cuts_may_be_parts_of_recordings(root: Path) -> None:
    cuts = lhotse.CutSet.from_manifests(recordings=recordings(root))
    cut = list(cuts)[5].truncate(offset=0.25, duration=0.5)
    lhotse.CutSet.from_cuts([cut]).to_file(root / "part.jsonl.gz")
    part = open_corpus([SourceConfig("part.jsonl.gz", "cuts")], root).utterances[0]
    whole, _ = soundfile.read(root / "voices/audio/voice05.wav", dtype="float32")
    np.testing.assert_allclose(part.read(0, part.samples), whole[4000:12000], atol=1e-6)
    np.testing.assert_allclose(part.read(1600, 800), whole[5600:6400], atol=1e-6)


def test_columns_choose_rows(root: Path) -> None:
    def names(**fields: Any) -> list[str]:
        corpus = open_corpus([SourceConfig("voices/manifest.tsv", **fields)], root)
        return [utterance.name for utterance in corpus.utterances]

    assert names(where={"split": ("dev",)}) == ["voice05"]
    assert names(exclude={"split": ("dev",), "speaker": ("s0",)}) == ["voice01", "voice02", "voice04"]


def test_other_rates_and_channels_become_16_khz_mono(tmp_path: Path) -> None:
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), 48_000)
    utterance = open_corpus([SourceConfig(".", "folder")], tmp_path).utterances[0]
    assert utterance.samples == RATE
    wave = utterance.read(4000, 8000)
    expected = np.sin(2 * np.pi * 440 * np.arange(4000, 12000) / RATE)
    assert len(wave) == 8000
    np.testing.assert_allclose(wave[400:-400], expected[400:-400], atol=5e-3)


def test_short_recordings_are_dropped_and_counted(root: Path) -> None:
    corpus = open_corpus([SourceConfig("voices/manifest.tsv")], root, min_seconds=0.5)
    assert corpus.dropped == 2
    assert len(corpus.utterances) == 4
    with pytest.raises(DataError, match="6 are shorter"):
        open_corpus([SourceConfig("voices/manifest.tsv")], root, min_seconds=50)


def test_the_fingerprint_changes_with_what_is_in_the_corpus(root: Path) -> None:
    def fingerprint(**fields: Any) -> str:
        return open_corpus([SourceConfig("voices/manifest.tsv", **fields)], root).fingerprint()

    assert fingerprint() == fingerprint()
    prints = {fingerprint(), fingerprint(repeat=2.0), fingerprint(where={"split": ("train",)})}
    assert len(prints) == 3


@pytest.mark.parametrize("kind", ["tsv", "cuts", "recordings", "shar", "folder"])
def test_missing_data_is_named(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_corpus([SourceConfig("nowhere", kind)], tmp_path)


def test_a_malformed_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("id\tpath\nx\ty\n")
    with pytest.raises(DataError, match=r"a\.tsv lacks the columns seconds"):
        open_corpus([SourceConfig("a.tsv")], tmp_path)
    (tmp_path / "b.tsv").write_text("id\tpath\tseconds\nx\ty\tlong\n")
    with pytest.raises(DataError, match=r"b\.tsv line 2: seconds must be a number, got 'long'"):
        open_corpus([SourceConfig("b.tsv")], tmp_path)
    for row, missing in (("x\t1.0", "path"), ("\t1.0\ty", "id")):
        (tmp_path / "b.tsv").write_text(f"id\tseconds\tpath\n{row}\n")
        with pytest.raises(DataError, match=rf"b\.tsv line 2 has no {missing}; each row needs id, path"):
            open_corpus([SourceConfig("b.tsv")], tmp_path)
    (tmp_path / "c.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(DataError, match=r"c\.jsonl cannot be read"):
        open_corpus([SourceConfig("c.jsonl", "cuts")], tmp_path)
    with pytest.raises(ConfigError, match="for kind 'tsv'"):
        SourceConfig("x", "folder", where={"a": ("b",)})
    make_corpus(tmp_path, count=2)
    with pytest.raises(DataError, match="holds no recordings that"):
        open_corpus([SourceConfig("voices/manifest.tsv", where={"split": ("no",)})], tmp_path)


@pytest.mark.parametrize("damage", ["cut short", "no cut"])
def test_a_damaged_shard_is_named(root: Path, damage: str) -> None:
    folder = shar(root, lhotse.CutSet.from_manifests(recordings=recordings(root)))
    manifest = sorted(folder.glob("cuts.*.gz"))[0]
    whole = manifest.read_bytes()
    other = gzip.compress(b'{"id": "x", "type": "MonoCut"}\n')
    manifest.write_bytes(whole[: len(whole) // 2] if damage == "cut short" else other)
    with pytest.raises(DataError, match=r"the shard .*cuts\.000000.* copy or make it again"):
        open_corpus([SourceConfig("shar", "shar")], root)


def test_an_unreadable_recording_is_an_audio_error_whatever_its_kind(root: Path) -> None:
    sources = write_all_kinds(root)
    corpora = [open_corpus([source], root) for source in sources.values()]
    for path in (*(root / "voices/audio").glob("*.wav"), *(root / "shar").glob("*.tar")):
        path.write_bytes(b"\0" * path.stat().st_size)
    for corpus in corpora:
        with pytest.raises(AudioError):
            corpus.utterances[0].read(0, 1000)


def test_at_each_speed_a_recording_is_one_of_its_own(root: Path) -> None:
    """A tone of 440 Hz becomes one of 484 Hz and a tenth shorter."""
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    folder = root / "tones"
    folder.mkdir()
    soundfile.write(folder / "tone.wav", tone, RATE)
    corpus = open_corpus([SourceConfig("tones", "folder", speeds=(0.8, 1, 1.1), repeat=0.5)], root)
    slow, plain, fast = corpus.utterances
    assert [slow.name, plain.name, fast.name] == ["tone@0.8", "tone", "tone@1.1"]
    assert corpus.samples.tolist() == [40_000, 32_000, 29_091]
    assert corpus.repeats.tolist() == [0.5, 0.5, 0.5]
    assert corpus.summary[0]["recordings"] == 1
    for utterance, pitch in ((slow, 352), (plain, 440), (fast, 484)):
        wave = utterance.read(0, utterance.samples)
        assert len(wave) == utterance.samples
        spectrum = np.abs(np.fft.rfft(wave))
        assert np.argmax(spectrum) * RATE / len(wave) == pytest.approx(pitch, abs=1)
    part = fast.read(8000, 4000)
    assert len(part) == 4000
    np.testing.assert_allclose(part[400:-400], fast.read(0, fast.samples)[8400:11_600], atol=0.02)
    assert open_corpus([SourceConfig("tones", "folder")], root).fingerprint() != corpus.fingerprint()


def test_what_is_too_short_at_its_fastest_is_dropped_at_every_speed(root: Path) -> None:
    source = SourceConfig("voices/manifest.tsv", speeds=(0.9, 1.1))
    samples = open_corpus([SourceConfig("voices/manifest.tsv")], root).samples
    corpus = open_corpus([source], root, min_seconds=float(samples.min()) / RATE)
    assert corpus.dropped == int((samples < samples.min() * 1.1).sum()) >= 1
    assert corpus.samples.min() >= samples.min()
    with pytest.raises(ConfigError, match="speeds must be numbers from"):
        SourceConfig("voices/manifest.tsv", speeds=(0.1,))
