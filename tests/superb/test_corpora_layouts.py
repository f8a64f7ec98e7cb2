"""What S3PRL's experts read, written as they read it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
import soundfile
from made_speech import burst, manifest, numbered, write

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.corpora.text import dictionary, normalised

COUNTS = {"train": 4, "dev": 2, "test": 3}


def test_transcripts_lengths_and_dictionary_fit_the_audio(tmp_path) -> None:
    rows = numbered(COUNTS, speaker="s-{i}.1", text="Don’t, stop: {i}!")
    prepare("asr", manifest(tmp_path, rows), tmp_path / "out")
    root = tmp_path / "out" / "LibriSpeech"
    for part, count in (("train-clean-100", 4), ("dev-clean", 2), ("test-clean", 3)):
        with (tmp_path / "out" / "len_for_bucket" / f"{part}.csv").open() as file:
            table = list(csv.DictReader(file))
        assert len(table) == count
        for row in table:
            path = root / row["file_path"]
            assert soundfile.info(path).frames == int(row["length"])
            speaker, chapter = path.parts[-3:-1]
            lines = (path.parent / f"{speaker}-{chapter}.trans.txt").read_text().splitlines()
            assert f"{path.stem} DON'T STOP {path.stem[-1]}" in lines
    symbols = [line.split()[0] for line in (tmp_path / "out" / "char.dict").read_text().splitlines()]
    assert symbols[0] == "|"
    assert set("DONTSTOP'0123") < set(symbols)
    assert len(symbols) == len(set(symbols))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("it's  I—you", "IT'S I YOU"), ("a|b", "A B"), ("' '", ""), ("Straße é", "STRASSE É"), ("нет!", "НЕТ")],
)
def test_transcripts_keep_letters_digits_and_apostrophes(text, expected) -> None:
    assert normalised(text) == expected


def test_the_dictionary_is_the_same_for_english_whatever_occurs() -> None:
    one, two = ([line.split()[0] for line in dictionary(texts)] for texts in (["A"], ["THE QUICK BROWN FOX"]))
    assert one == two
    assert dictionary(["É"])[-1] == "É 1"


def test_keywords_land_in_the_split_that_s3prl_computes(tmp_path) -> None:
    rows = numbered({"train": 30, "dev": 8, "test": 6}, label="word{i}")
    for row in rows:
        row["label"] = ("alexa", "stop", "jarvis", "_unknown_")[int(row["id"].split("-")[1]) % 4]
    write(tmp_path / "hum.wav", burst(4))
    write(tmp_path / "hiss.wav", burst(3.5, 1))
    rows += [
        {"id": "hum", "path": "hum.wav", "split": "train", "kind": "noise"},
        {"id": "hiss", "path": "hiss.wav", "split": "test", "kind": "noise"},
    ]
    made = prepare("speech_commands", manifest(tmp_path, rows), tmp_path / "out")
    assert made.classes == {"yes": "alexa", "no": "jarvis"}
    assert made.counts == {"train": 30, "dev": 8, "test": 9, "noise": 1}
    for path in (tmp_path / "out" / "train").glob("*/*.wav"):
        if path.parent.name == "_background_noise_":
            assert soundfile.info(path).frames > 16000
            continue
        speaker = re.sub(r"_nohash_.*$", "", path.name)
        percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % 2**27 * (100 / (2**27 - 1))
        assert percent < 10 if path.name.startswith("dev-") else percent >= 20
    tested = Counter(path.parent.name for path in (tmp_path / "out" / "test").glob("*/*.wav"))
    assert tested == {"yes": 2, "stop": 2, "no": 1, "_unknown_": 1, "_silence_": 3}
    assert made.chance == pytest.approx(3 / 9)


def test_intents_have_three_slots_which_pandas_reads_as_they_are(tmp_path) -> None:
    rows = numbered(COUNTS, label="{i}|NA")
    for row in rows:
        row["label"] = {"0": "7|NA", "1": "tea|large|true"}.get(row["id"][-1], "7|NA")
    made = prepare("fluent_commands", manifest(tmp_path, rows), tmp_path / "out")
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(tmp_path / "out" / "data" / "train_data.csv")
    assert set(map(tuple, table[["action", "object", "location"]].values.tolist())) == {
        ("value 7", "none", "none"),
        ("tea", "large", "value true"),
    }
    assert all((tmp_path / "out" / path).is_file() for path in table["path"])
    assert made.chance == pytest.approx(2 / 3)


def test_each_fold_tests_itself_and_trains_the_others(tmp_path) -> None:
    rows = [
        {"id": f"{fold}{i}", "split": "", "fold": fold, "label": ("joy", "rage")[i % 2], "speaker": fold}
        for fold in "abc"
        for i in range(4)
    ]
    made = prepare("emotion", manifest(tmp_path, rows), tmp_path / "out")
    for number, fold in enumerate("abc", start=1):
        lists = {}
        for name in ("train", "test"):
            path = tmp_path / "out" / "meta_data" / f"Session{number}" / f"{name}_meta_data.json"
            lists[name] = json.loads(path.read_text())
            assert lists[name]["labels"] == {"joy": 0, "rage": 1}
        assert {row["speaker"] for row in lists["test"]["meta_data"]} == {fold}
        assert {row["speaker"] for row in lists["train"]["meta_data"]} == set("abc") - {fold}
        assert all((tmp_path / "out" / row["path"]).is_file() for row in lists["train"]["meta_data"])
    assert made.chance == 0.5


def test_verification_keeps_the_voices_of_dev_and_test_out_of_training(tmp_path) -> None:
    rows = numbered({"train": 4, "dev": 4, "test": 4}, speaker="{split}")
    for i, row in enumerate(rows):
        row["speaker"] += str(i % 2)
    short = write(tmp_path / "short.wav", burst(1.5, pauses=((0.0, 1.2),)))
    rows.append({"id": "short", "path": short.name, "split": "train", "speaker": "train0"})
    made = prepare("sv_voxceleb1", manifest(tmp_path, rows), tmp_path / "out")
    assert made.skipped == {"under 0.5 s without its silence": 1}
    trained = {path.name for path in (tmp_path / "out" / "dev" / "wav").iterdir()}
    assert {made.classes[name] for name in trained} == {"train0", "train1"}
    for split, root in (("dev", "dev/wav"), ("test", "test/wav")):
        lines = (tmp_path / "out" / f"{split}_trials.txt").read_text().splitlines()
        assert len(lines) == made.counts[f"{split} trials"] == 6
        for line in lines:
            label, *both = line.split()
            paths = [(tmp_path / "out" / root / path).resolve() for path in both]
            assert all(path.is_file() for path in paths)
            speakers = [made.classes[path.parts[-3]] for path in paths]
            assert (label == "1") == (speakers[0] == speakers[1])
            assert all(speaker.startswith(split) for speaker in speakers)


def test_utterances_without_a_split_are_dealt_to_the_splits_for_identification(tmp_path) -> None:
    rows = [
        {"id": f"{speaker}{i}", "split": "", "speaker": speaker}
        for speaker in ("ann", "bob")
        for i in range(10)
    ]
    made = prepare("voxceleb1", manifest(tmp_path, rows), tmp_path / "out")
    assert made.counts == {"train": 14, "dev": 2, "test": 4}


def test_names_with_dots_spaces_and_doubles_stay_apart(tmp_path) -> None:
    rows = numbered({"dev": 1, "test": 1}, text="a")
    for name in ("a b", "a.b", "a/b"):
        write(tmp_path / "in.wav", burst())
        rows.append({"id": name, "path": "in.wav", "split": "train", "text": "a"})
    prepare("asr", manifest(tmp_path, rows), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "LibriSpeech" / "train-clean-100").rglob("*.wav")}
    assert names == {"a_b.wav", "a_b-2.wav", "a_b-3.wav"}
    assert np.array_equal(
        *(soundfile.read(path)[0] for path in sorted((tmp_path / "out").rglob("a_b*.wav"))[:2])
    )


def test_a_name_with_the_mark_of_a_hash_stays_in_its_split(tmp_path, hub) -> None:
    from s3prl.downstream.speech_commands.expert import split_dataset

    counts = {"train": 12, "dev": 6, "test": 4}
    rows = numbered(counts, label="marvin")
    rows += [{**row, "id": f"{i % 3}x_nohash_{row['id']}", "label": "sheila"} for i, row in enumerate(rows)]
    made = prepare("speech_commands", manifest(tmp_path, rows), tmp_path / "out")
    train, dev = split_dataset(made.folder / "train")
    assert len([path for name, path in train if name != "_silence_"]) == 24
    assert len([path for name, path in dev if name != "_silence_"]) == 12


def test_a_figure_of_one_fold_says_so_and_has_the_chance_of_that_fold(tmp_path) -> None:
    rows = [
        {"id": f"{fold}-{i}", "fold": f"f{fold}", "split": "", "label": "joy" if i < joys else "fear"}
        for fold, joys in ((1, 2), (2, 3), (10, 3))
        for i in range(4)
    ]
    made = prepare("emotion", manifest(tmp_path, rows), tmp_path / "out")
    assert made.chance == 0.5
    assert "fold 1 of 3" in made.notes[0]
    tested = json.loads((made.folder / "meta_data" / "Session3" / "test_meta_data.json").read_text())
    assert {row["path"].split("-")[0] for row in tested["meta_data"]} == {"wav/10"}
    table = manifest(tmp_path, numbered({"train": 4, "dev": 2, "test": 2}, label="joy"))
    plain = prepare("emotion", table, tmp_path / "plain")
    assert "the dev split is trained on" in plain.notes[0]


def test_a_recording_that_appears_is_another_corpus(tmp_path) -> None:
    rows = numbered({"train": 4, "dev": 2, "test": 2}, label="joy")
    table = manifest(tmp_path, rows)
    (tmp_path / "train-0.wav").rename(tmp_path / "away.wav")
    prepare("emotion", table, tmp_path / "out")
    (tmp_path / "away.wav").rename(tmp_path / "train-0.wav")
    with pytest.raises(SuperbError, match="was made with other settings"):
        prepare("emotion", table, tmp_path / "out")


def test_a_recording_that_is_trained_on_and_tested_is_told(tmp_path) -> None:
    rows = numbered({"train": 4, "dev": 2, "test": 2}, label="joy")
    assert not any(
        "too good" in note for note in prepare("emotion", manifest(tmp_path, rows), tmp_path / "a").notes
    )
    twice = [*rows, {"id": "again", "split": "test", "label": "joy", "path": "train-0.wav"}]
    made = prepare("emotion", manifest(tmp_path, twice), tmp_path / "b")
    assert made.notes[0].startswith("1 recordings of the test split are in another split, too")
