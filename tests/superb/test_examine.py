"""A corpus that S3PRL would stop on halfway through is refused before it begins, by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.examine.audio import require_audio
from streaming_wavlm.superb.tasks import TASKS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the embedded corpus of a task, made once."""
    root = tmp_path_factory.mktemp("prepared")
    return lambda name: prepare(name, "embedded", root / name).folder


@pytest.fixture
def corpus(prepared, tmp_path):
    """Return a copy of a task's embedded corpus, and what examining it says."""

    def copy(name: str) -> tuple[Path, Any]:
        folder = tmp_path / name
        shutil.copytree(prepared(name), folder)
        text = (folder / "config.yaml").read_text().replace(str(prepared(name)), str(folder))
        for listing in folder.rglob("wav.scp"):
            listing.write_text(listing.read_text().replace(str(prepared(name)), str(folder)))
        config = yaml.safe_load(text)
        return folder, lambda: TASKS[name].examine(config)

    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def first(folder: Path, pattern: str = "**/*.wav") -> Path:
    return min(folder.glob(pattern))


@pytest.mark.parametrize("name", TASKS)
def test_what_prepare_makes_is_let_through(name, corpus, hub) -> None:
    if name == "voxceleb1":
        pytest.skip("large; the ten tasks let it through, too")
    assert isinstance(corpus(name)[1](), tuple)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.unlink(), "1 of 2 recordings for test are not there"),
        (lambda path: path.write_bytes(b"RIFF no audio"), "not audio, or damaged"),
        (
            lambda path: soundfile.write(path, np.zeros(100), 8000),
            "it has 8000 Hz and the task takes 16000 Hz",
        ),
        (lambda path: soundfile.write(path, np.zeros(0), 16000), "it has no samples"),
        (
            lambda path: soundfile.write(path, np.zeros((100, 2)), 16000),
            "it has 2 channels and the task takes 1",
        ),
    ],
)
def test_recordings_that_cannot_be_used_are_counted_and_the_first_named(write, said, tmp_path) -> None:
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in paths:
        soundfile.write(path, np.zeros(100), 16000)
    require_audio(paths, "test")
    write(paths[1])
    with pytest.raises(
        SuperbError, match=rf"{said}|1 of 2 recordings for test cannot be used, .*b\.wav: {said}"
    ):
        require_audio(paths, "test")
    with pytest.raises(SuperbError, match="no recordings for dev"):
        require_audio([], "dev")


def test_transcripts_that_are_empty_are_counted_and_strange_characters_refused(corpus) -> None:
    folder, examine = corpus("asr")
    transcripts = first(folder / "LibriSpeech" / "train-clean-100", "**/*.trans.txt")
    lines = transcripts.read_text().splitlines()
    transcripts.write_text("\n".join([lines[0].split()[0], *lines[1:-1]]) + "\n")
    assert examine() == (
        "1 of 32 transcripts for train are empty",
        "1 recordings for train have no transcript and are left out",
    )
    transcripts.write_text("\n".join([f"{lines[0]} ÆŸ", *lines[1:]]) + "\n")
    with pytest.raises(SuperbError, match=r"1 transcripts for train have characters .*with Æ Ÿ; add them"):
        examine()


def test_a_phone_that_the_head_has_no_class_for_is_refused(corpus) -> None:
    folder, examine = corpus("phone_linear")
    labels = next(folder.rglob("converted_aligned_phones.txt"))
    whole = labels.read_text()
    name, *phones = whole.splitlines()[0].split(" ")
    for bad in ("41", "AH", "-1"):
        labels.write_text(whole.replace(f"{name} {phones[0]}", f"{name} {bad}", 1))
        with pytest.raises(
            SuperbError, match=f"gives {name} the phone '{bad}'; a phone is a number from 0 to 40"
        ):
            examine()
    labels.write_text("".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(
        SuperbError, match=f"1 utterances for (train|test) have no phones, the first is {name}"
    ):
        examine()


def test_speakers_that_s3prls_head_has_no_class_for_are_refused(tmp_path) -> None:
    (tmp_path / "list.txt").write_text("1 id99999/video/0.wav\n")
    (tmp_path / "dev" / "wav").mkdir(parents=True)
    config = {"downstream_expert": {"datarc": {"file_path": tmp_path, "meta_data": tmp_path / "list.txt"}}}
    with pytest.raises(SuperbError, match="'id99999'; S3PRL takes id10001 to id11251"):
        TASKS["voxceleb1"].examine(config)
    (tmp_path / "list.txt").write_text("4 id10001/video/0.wav\n")
    with pytest.raises(SuperbError, match="takes 1, 2 or 3"):
        TASKS["voxceleb1"].examine(config)
    (tmp_path / "list.txt").write_text("1 id10001/video/0.wav\n")
    with pytest.raises(SuperbError, match="1 of 1 recordings for train are not there"):
        TASKS["voxceleb1"].examine(config)


def test_trials_of_one_kind_are_refused_and_speakers_heard_once_counted(corpus) -> None:
    folder, examine = corpus("sv_voxceleb1")
    speaker = min((folder / "dev" / "wav").iterdir())
    for path in sorted(speaker.rglob("*.wav"))[1:]:
        path.unlink()
    (note,) = examine()
    assert note.startswith("1 of ")
    assert note.endswith("speakers for train have one utterance")
    trials = folder / "test_trials.txt"
    trials.write_text(
        "".join(line for line in trials.read_text().splitlines(keepends=True) if line[0] == "1")
    )
    with pytest.raises(SuperbError, match="only one kind"):
        examine()


def test_a_recording_of_more_speakers_than_the_head_has_or_of_none_is_refused(corpus) -> None:
    folder, examine = corpus("diarization")
    segments = folder / "test" / "segments"
    whole = segments.read_text()
    recording = whole.split()[1]
    with segments.open("a") as file:
        file.write(f"third {recording} 0 1\n")
    with pytest.raises(SuperbError, match="does not say who speaks in third"):
        examine()
    with (folder / "test" / "utt2spk").open("a") as file:
        file.write("third somebody\n")
    with pytest.raises(SuperbError, match=f"3 people speak in {recording}"):
        examine()
    segments.write_text(
        "".join(line for line in whole.splitlines(keepends=True) if line.split()[1] != recording)
    )
    with pytest.raises(SuperbError, match=f"segments has nothing of the recording {recording}"):
        examine()


def test_a_label_that_is_not_listed_is_refused(corpus) -> None:
    folder, examine = corpus("emotion")
    path = folder / "meta_data" / "Session1" / "test_meta_data.json"
    listing = json.loads(path.read_text())
    listing["meta_data"][0]["label"] = "bored"
    path.write_text(json.dumps(listing))
    with pytest.raises(SuperbError, match="the label 'bored', which is not among"):
        examine()
    path.write_text("{}")
    with pytest.raises(SuperbError, match="cannot be read"):
        examine()


def test_a_slot_that_was_never_trained_is_refused(corpus) -> None:
    folder, examine = corpus("fluent_commands")
    table = folder / "data" / "valid_data.csv"
    head, row, *rest = table.read_text().splitlines()
    columns = head.split(",")
    cells = row.split(",")
    cells[columns.index("object")] = "teapot"
    table.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
    with pytest.raises(
        SuperbError, match=r"1 values that train_data\.csv lacks, the first is object 'teapot'"
    ):
        examine()
    table.write_text("path,action\n")
    with pytest.raises(SuperbError, match="needs rows with the columns path, action, object, location"):
        examine()


def test_folders_of_keywords_that_would_stop_or_never_end_s3prl_are_refused(corpus, hub) -> None:
    folder, examine = corpus("speech_commands")
    noise = folder / "train" / "_background_noise_"
    noise.mkdir(exist_ok=True)
    soundfile.write(noise / "short.wav", np.zeros(16000), 16000)
    with pytest.raises(SuperbError, match="not longer than 1 s"):
        examine()
    (noise / "short.wav").unlink()
    (folder / "test" / "maybe").mkdir()
    with pytest.raises(SuperbError, match="the folder 'maybe', which is no class"):
        examine()
    (folder / "test" / "maybe").rmdir()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["downstream_expert"]["datarc"] |= {
        "batch_size": 1000,
        "speech_commands_root": folder / "train",
        "speech_commands_test_root": folder / "test",
    }
    with pytest.raises(SuperbError, match="do not fill a batch of 1000"):
        TASKS["speech_commands"].examine(config)


def test_mixtures_without_a_part_or_longer_than_one_are_refused(corpus) -> None:
    folder, examine = corpus("separation_stft")
    listing = folder / "test" / "s1" / "wav.scp"
    name, path = listing.read_text().splitlines()[0].split()
    wave, rate = soundfile.read(path)
    soundfile.write(path, wave[:-5], rate)
    with pytest.raises(SuperbError, match=f"{name} has different numbers of samples"):
        examine()
    edit(listing, name, "another")
    with pytest.raises(SuperbError, match="is not in both mix_clean"):
        examine()
