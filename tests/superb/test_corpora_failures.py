"""What can be wrong with recordings and labels: a counted skip or a clear error, never half a corpus."""

from __future__ import annotations

import numpy as np
import pytest
from made_speech import burst, manifest, numbered, write

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import prepare

COUNTS = {"train": 12, "dev": 3, "test": 4}
# One speaker for a split has two recordings or more; speech for every task.
GENERAL = numbered(COUNTS, speaker="{split}", text="a b", phones="AY0 | AH0 M", label="go")


def bad(row_id: str, **columns: str) -> dict[str, str]:
    return {**GENERAL[0], "id": row_id, **columns}


@pytest.fixture
def damaged(tmp_path):
    """Rows of recordings that nothing can be made of, and why."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.wav").write_text("this is not audio")
    (folder / "empty.wav").write_bytes(b"")
    write(folder / "silent.wav", np.zeros(16000))
    write(folder / "short.wav", burst(0.05))
    cut = write(folder / "cut.flac.wav", burst())
    cut.write_bytes(cut.read_bytes()[:30])
    names = ("text.wav", "empty.wav", "silent.wav", "short.wav", "cut.flac.wav", "missing.wav")
    return folder, [bad(name, path=name) for name in names]


@pytest.mark.parametrize(
    "task", ["asr", "phone_linear", "speech_commands", "fluent_commands", "enhancement_stft"]
)
def test_recordings_that_cannot_be_used_are_counted_and_the_rest_is_prepared(task, damaged, tmp_path) -> None:
    folder, rows = damaged
    made = prepare(task, manifest(folder, [*GENERAL, *rows]), tmp_path / "out")
    found = {reason: count for reason, count in made.skipped.items() if "nine to one" not in reason}
    assert found == {"unreadable audio": 4, "silent": 1, "too short": 1}
    clean = prepare(task, manifest(folder, GENERAL), tmp_path / "clean")
    assert made.counts == clean.counts


def test_mixtures_and_trials_without_usable_recordings_are_counted(damaged, tmp_path) -> None:
    folder, rows = damaged
    good = numbered({"train": 6, "dev": 6, "test": 6}, speaker="{split}{i}")
    table = manifest(folder, [*good, *({**row, "speaker": "train0"} for row in rows)])
    for task in ("diarization", "separation_stft"):
        made = prepare(task, table, tmp_path / task)
        assert made.skipped["mixture without two usable recordings"] > 0
        assert made.counts["train"] + made.skipped["mixture without two usable recordings"] == 12
    double = [{**row, "speaker": row["split"] + str(int(row["id"][-1]) // 2)} for row in good]
    made = prepare("sv_voxceleb1", manifest(folder, double), tmp_path / "asv")
    assert made.counts["test trials"] == 15


@pytest.mark.parametrize("task", ["asr", "voxceleb1", "emotion", "separation_stft"])
def test_a_split_of_which_nothing_is_left_is_an_error_and_no_folder(task, tmp_path) -> None:
    rows = [
        {**row, "speaker": row["split"] + row["id"][-1]}
        if task == "separation_stft"
        else {**row, "speaker": "s"}
        for row in GENERAL
    ]
    table = manifest(tmp_path / "in", rows)
    for path in (tmp_path / "in").glob("test-*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(SuperbError, match=r"unreadable audio|of a speaker who is not in every split"):
        prepare(task, table, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("text", ["", "...", "?!", " - "])
def test_an_empty_transcript_is_counted(text, tmp_path) -> None:
    made = prepare("asr", manifest(tmp_path, [*GENERAL, bad("mute", text=text)]), tmp_path / "out")
    assert (made.skipped, made.counts["train"]) == ({"empty transcript": 1}, 12)


@pytest.mark.parametrize(
    ("phones", "reason"),
    [("AY0 | QQ", "unknown phone"), ("", "no phones"), ("B " * 80, "more phones than there is time for")],
)
def test_phones_that_are_unknown_missing_or_too_many_are_counted(phones, reason, tmp_path) -> None:
    made = prepare(
        "phone_linear", manifest(tmp_path, [*GENERAL, bad("odd", phones=phones)]), tmp_path / "out"
    )
    assert made.skipped[reason] == 1
    assert "odd" not in (tmp_path / "out" / "phones" / "converted_aligned_phones.txt").read_text()


def test_speakers_who_are_not_in_every_split_are_left_out_of_identification(tmp_path) -> None:
    rows = numbered({"train": 4, "dev": 2, "test": 2}, speaker="voice{i}")
    made = prepare("voxceleb1", manifest(tmp_path, [*rows, bad("once", speaker="hermit")]), tmp_path / "out")
    assert list(made.classes.values()) == ["voice0", "voice1"]
    assert made.skipped == {"of a speaker who is not in every split": 3}
    with pytest.raises(SuperbError, match="no utterances of speakers who are in every split"):
        prepare("voxceleb1", manifest(tmp_path / "none", GENERAL), tmp_path / "none-out")


def test_a_speaker_with_one_utterance_is_in_trials_with_others_only(tmp_path) -> None:
    rows = numbered({"train": 2, "dev": 4, "test": 4}, speaker="{split}-twice")
    for row in rows:
        if row["id"].endswith(("-2", "-3")):
            row["speaker"] = f"once {row['id']}"
    prepare("sv_voxceleb1", manifest(tmp_path, rows), tmp_path / "out")
    lines = (tmp_path / "out" / "test_trials.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "0", "0", "0", "0", "0"]
    alone = [{**row, "speaker": row["id"]} for row in rows]
    with pytest.raises(SuperbError, match="a speaker with two usable recordings"):
        prepare("sv_voxceleb1", manifest(tmp_path / "alone", alone), tmp_path / "alone-out")


def test_a_speaker_in_two_splits_is_refused_where_speakers_must_be_new(tmp_path) -> None:
    rows = [{**row, "speaker": "the same"} for row in GENERAL]
    for task in ("sv_voxceleb1", "separation_stft", "diarization", "enhancement_stft"):
        with pytest.raises(SuperbError, match="the same"):
            prepare(task, manifest(tmp_path / "in", rows), tmp_path / task)


def test_a_mixture_needs_two_speakers(tmp_path) -> None:
    with pytest.raises(SuperbError, match="needs two speakers and a split has 1: train"):
        prepare("separation_stft", manifest(tmp_path, GENERAL), tmp_path / "out")


def test_rows_without_a_label_or_speaker_are_counted(tmp_path) -> None:
    table = manifest(tmp_path, [*GENERAL, bad("bare", label="", speaker="")])
    for task in ("speech_commands", "fluent_commands", "emotion"):
        assert prepare(task, table, tmp_path / task).skipped == {"no label": 1}


def test_more_keywords_or_slots_or_speakers_than_s3prl_has_are_refused(tmp_path) -> None:
    many = [{**row, "label": f"word {i}"} for i, row in enumerate(GENERAL)]
    with pytest.raises(SuperbError, match="19 keywords that S3PRL does not know and 10 places"):
        prepare("speech_commands", manifest(tmp_path, many), tmp_path / "ks")
    slots = [{**row, "label": "a|b|c|d"} for row in GENERAL]
    with pytest.raises(SuperbError, match="4 slots and S3PRL's head knows three"):
        prepare("fluent_commands", manifest(tmp_path, slots), tmp_path / "ic")


def test_slot_values_that_training_lacks_are_left_out(tmp_path) -> None:
    rows = [*GENERAL, bad("new", split="test", label="stop")]
    assert prepare("fluent_commands", manifest(tmp_path, rows), tmp_path / "out").skipped == {
        "slot value not in train": 1
    }


def test_an_emotion_that_is_only_tested_is_an_error(tmp_path) -> None:
    rows = [*GENERAL, bad("new", split="test", label="awe")]
    with pytest.raises(SuperbError, match="fold 1 tests classes that it does not train: awe"):
        prepare("emotion", manifest(tmp_path, rows), tmp_path / "out")


def test_noise_for_training_only_is_an_error(tmp_path) -> None:
    rows = [*GENERAL, {"id": "hum", "split": "train", "kind": "noise"}]
    with pytest.raises(SuperbError, match="1 usable recordings for train and 0 for test"):
        prepare("enhancement_stft", manifest(tmp_path, rows), tmp_path / "out")


def test_a_folder_with_a_space_is_refused_where_s3prl_would_cut_it(tmp_path) -> None:
    with pytest.raises(SuperbError, match="no paths with spaces"):
        prepare("enhancement_stft", manifest(tmp_path, GENERAL), tmp_path / "my data")
