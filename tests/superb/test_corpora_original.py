"""The corpora of SUPERB where they are: what is missing is named, lists are made, no audio is copied."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_speech import burst, write

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import prepare, template
from streaming_wavlm.superb.corpora.layouts.speech_commands import WORDS
from streaming_wavlm.superb.tasks import TASKS


def librispeech(root: Path) -> None:
    root = root / "LibriSpeech"
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        for i in range(3):
            path = root / part / "19" / "198" / f"19-198-{i:04}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path.with_suffix(".wav"), burst(0.5 + 0.1 * i)).rename(path)
        text = "19-198-0000 SO IT'S\n19-198-0001 TWO\n19-198-0002\n"
        (path.parent / "19-198.trans.txt").write_text(text)
    labels = "19-198-0000 0 1 40\n19-198-0001 3 3\n19-198-0009 3\n"
    (root / "converted_aligned_phones.txt").write_text(labels)
    (root / "train_split.txt").write_text("19-198-0000\n19-198-0009\n")
    (root / "test_split.txt").write_text("19-198-0001\n")


def voxceleb(root: Path) -> None:
    lines = []
    for speaker in ("id10001", "id10002"):
        for i in range(3):
            name = f"{speaker}/video/{i:05}.wav"
            write(root / "dev" / "wav" / name, burst(0.4))
            lines.append(f"{i + 1} {name}")
    for speaker in ("id10270", "id10271"):
        for i in range(2):
            write(root / "test" / "wav" / speaker / "v" / f"{i}.wav", burst(0.4))
    lines.append("1 id10002/video/gone.wav")
    (root / "iden_split.txt").write_text("\n".join(lines) + "\n")
    trials = [
        "1 id10270/v/0.wav id10270/v/1.wav",
        "0 id10270/v/0.wav id10271/v/1.wav",
        "0 id10270/v/0.wav id9/v/1.wav",
    ]
    (root / "veri_test2.txt").write_text("\n".join(trials) + "\n")


def iemocap(root: Path) -> None:
    for session in range(1, 6):
        dialog = f"Ses0{session}F_impro01"
        table = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for i, emotion in enumerate(("neu", "exc", "ang", "sad", "fru", "hap")):
            name = f"{dialog}_F{i:03}"
            write(root / f"Session{session}/sentences/wav/{dialog}/{name}.wav", burst(0.3))
            table += [
                f"[6.2901 - 8.2357]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]",
                "C-E2:\tNeutral;\t()",
            ]
        path = root / f"Session{session}/dialog/EmoEvaluation/{dialog}.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(table) + "\n")


def fluent(root: Path) -> None:
    for table in ("train", "valid", "test"):
        rows = [",path,speakerId,transcription,action,object,location"]
        for i, action in enumerate(("activate", "increase")):
            write(root / "wavs" / "speakers" / table / f"{i}.wav", burst(0.3))
            rows.append(f'{i},wavs/speakers/{table}/{i}.wav,x,"Turn it, up",{action},heat,none')
        rows.append(f"9,wavs/speakers/{table}/gone.wav,x,Gone,activate,heat,none")
        (root / "data").mkdir(exist_ok=True)
        (root / "data" / f"{table}_data.csv").write_text("\n".join(rows) + "\n")


def commands(root: Path) -> None:
    train, test = root / "speech_commands_v0.01", root / "speech_commands_test_set_v0.01"
    for word in (*WORDS, "bed"):
        write(train / word / "a_nohash_0.wav", burst(0.9))
    write(train / "_background_noise_" / "hum.wav", burst(3))
    for word in (*WORDS, "_unknown_", "_silence_"):
        write(test / word / "b_nohash_0.wav", burst(0.9))


def librimix(root: Path) -> None:
    for part in ("train-100", "dev", "test"):
        for mode in ("min", "max"):
            for i in range(2):
                name = f"{10 + i}-1-0000_{20 + i}-1-0001.wav"
                one, two = burst(2, 1, ((0, 1),)), burst(2, 2, ((1, 2),))
                base = root / "wav16k" / mode / part
                for kind, wave in (("s1", one), ("s2", two), ("mix_clean", one + two)):
                    write(base / kind / name, wave)


def voicebank(root: Path) -> None:
    for part, speakers in (("trainset_28spk_wav", ("p226", "p300")), ("testset_wav", ("p232",))):
        for kind in ("noisy", "clean"):
            for speaker in speakers:
                write(root / f"{kind}_{part}" / f"{speaker}_001.wav", burst(0.3), 48000)


MADE = {
    "asr": librispeech,
    "phone_linear": librispeech,
    "voxceleb1": voxceleb,
    "sv_voxceleb1": voxceleb,
    "diarization": librimix,
    "emotion": iemocap,
    "fluent_commands": fluent,
    "speech_commands": commands,
    "enhancement_stft": voicebank,
    "separation_stft": librimix,
}


def made(task: str, tmp_path: Path, corpus: Path | None = None):
    if corpus is None:
        corpus = tmp_path / "corpus"
        MADE[task](corpus)
    return prepare(task, corpus, tmp_path / "out")


def lines(tmp_path: Path, name: str) -> list[str]:
    return (tmp_path / "out" / name).read_text().splitlines()


@pytest.mark.parametrize("task", sorted(MADE))
def test_superbs_own_config_gets_paths_that_exist_and_no_audio_is_copied(task, tmp_path) -> None:
    done = made(task, tmp_path)
    config = yaml.safe_load(done.config.read_text())
    assert TASKS[task].missing(config) is None
    assert config["runner"] == yaml.safe_load(template.template_path(task, mini=False).read_text())["runner"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".wav", ".flac")]
    assert prepare(task, tmp_path / "corpus", tmp_path / "out") == done


@pytest.mark.parametrize(
    ("task", "gone", "match"),
    [
        ("asr", "LibriSpeech/dev-clean", r"dev-clean \(the dev split\).*https://www.openslr.org/12"),
        ("phone_linear", "LibriSpeech/converted_aligned_phones.txt", "aligned_phones.txt.*S3PRL's repo"),
        ("voxceleb1", "test/wav", r"VoxCeleb1: missing are test/wav.*robots.ox.ac.uk"),
        ("voxceleb1", "iden_split.txt", "lacks the list iden_split.txt or veri_test_class.txt.*robots.ox"),
        ("sv_voxceleb1", "veri_test2.txt", "lacks the list voxceleb1_test_v2.txt or veri_test2.txt"),
        ("diarization", "wav16k/max/dev/s2", r"dev/s2 \(of the dev split\).*LibriMix \(16k, max\)"),
        ("separation_stft", "wav16k/min/train-100", "missing are train-100/mix_clean"),
        ("emotion", "Session3/dialog", "Session3/dialog/EmoEvaluation.*sail.usc.edu"),
        ("fluent_commands", "data/valid_data.csv", "data/valid_data.csv.*fluent.ai"),
        ("speech_commands", "speech_commands_v0.01/stop", "stop.*speech_commands_v0.01.tar.gz"),
        ("speech_commands", "speech_commands_test_set_v0.01", "missing are yes.*test_set_v0.01.tar.gz"),
        ("enhancement_stft", "clean_testset_wav", "clean_testset_wav.*datashare.ed.ac.uk"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_where_to_get_it(task, gone, match, tmp_path) -> None:
    MADE[task](tmp_path / "corpus")
    path = tmp_path / "corpus" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(SuperbError, match=match):
        made(task, tmp_path, tmp_path / "corpus")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize(
    "task",
    [
        "asr",
        "phone_linear",
        "voxceleb1",
        "sv_voxceleb1",
        "diarization",
        "emotion",
        "fluent_commands",
        "separation_stft",
    ],
)
def test_a_rate_that_s3prl_would_misread_is_refused(task, tmp_path) -> None:
    MADE[task](tmp_path / "corpus")
    for path in [*(tmp_path / "corpus").rglob("*.wav"), *(tmp_path / "corpus").rglob("*.flac")]:
        write(path.with_suffix(".wav"), burst(0.3), 8000).rename(path)
    with pytest.raises(SuperbError, match=r"recordings are not at 16 kHz, such as .* \(8000 Hz\)"):
        made(task, tmp_path, tmp_path / "corpus")


def test_librispeech_gets_lengths_and_leaves_empty_transcripts_out(tmp_path) -> None:
    done = made("asr", tmp_path)
    assert done.counts == {"train": 2, "dev": 2, "test": 2}
    assert done.skipped == {"empty transcript": 3}
    assert lines(tmp_path, "len_for_bucket/dev-clean.csv") == [
        "file_path,length",
        "dev-clean/19/198/19-198-0001.flac,9600",
        "dev-clean/19/198/19-198-0000.flac,8000",
    ]


def test_phone_labels_without_audio_are_left_out_and_strange_ones_refused(tmp_path) -> None:
    done = made("phone_linear", tmp_path)
    assert lines(tmp_path, "phones/train_split.txt") == ["19-198-0000"]
    assert done.skipped == {"listed without audio or labels": 1}
    labels = tmp_path / "corpus" / "LibriSpeech" / "converted_aligned_phones.txt"
    labels.write_text("19-198-0000 0 1\n19-198-0001 41 x\n")
    with pytest.raises(SuperbError, match=r"line 2 \(19-198-0001\) has phones outside the 41 classes: 41, x"):
        prepare("phone_linear", tmp_path / "corpus", tmp_path / "again")


def test_voxcelebs_lists_lose_what_is_not_there_and_say_so(tmp_path) -> None:
    done = made("voxceleb1", tmp_path)
    assert done.counts == {"train": 2, "dev": 2, "test": 2}
    assert done.skipped == {"recording not there": 1}
    assert "1 lines of the list are left out, so figures are not SUPERB's" in done.notes
    verified = prepare("sv_voxceleb1", tmp_path / "corpus", tmp_path / "asv")
    assert verified.counts["test trials"] == 2
    assert verified.counts["dev trials"] == 15
    assert any("veri_test2.txt" in note for note in verified.notes)


def test_iemocap_has_four_classes_and_excitement_is_happiness(tmp_path) -> None:
    done = made("emotion", tmp_path)
    facts = json.loads("\n".join(lines(tmp_path, "meta_data/Session2/test_meta_data.json")))
    assert facts["labels"] == {"ang": 0, "hap": 1, "neu": 2, "sad": 3}
    assert [row["label"] for row in facts["meta_data"]] == ["neu", "hap", "ang", "sad", "hap"]
    assert all(row["path"].startswith("Session2/sentences/wav/") for row in facts["meta_data"])
    assert (done.counts["fold2 train"], done.counts["fold2 test"], done.chance) == (20, 5, 0.4)


def test_fluents_tables_lose_what_is_not_there(tmp_path) -> None:
    done = made("fluent_commands", tmp_path)
    assert done.counts == {"train": 2, "dev": 2, "test": 2}
    assert done.skipped == {"recording not there": 3}
    rows = list(csv.DictReader(lines(tmp_path, "data/valid_data.csv")))
    assert [row["action"] for row in rows] == ["activate", "increase"]
    assert all(Path(row["path"]).is_file() for row in rows)


def test_a_recording_that_s3prl_would_stop_at_is_named(tmp_path) -> None:
    commands(tmp_path / "corpus")
    (tmp_path / "corpus" / "speech_commands_v0.01" / "bed" / "bad_nohash_0.wav").write_text("no")
    with pytest.raises(SuperbError, match=r"cannot be read; unpack again: .*bad_nohash_0.wav"):
        made("speech_commands", tmp_path, tmp_path / "corpus")
    commands(tmp_path / "short")
    write(tmp_path / "short" / "speech_commands_v0.01" / "_background_noise_" / "tick.wav", burst(0.5))
    with pytest.raises(SuperbError, match=r"must be longer: .*tick.wav"):
        made("speech_commands", tmp_path, tmp_path / "short")


def test_separation_lists_only_mixtures_with_both_sources(tmp_path) -> None:
    librimix(tmp_path / "corpus")
    (tmp_path / "corpus" / "wav16k/min/dev/s2/11-1-0000_21-1-0001.wav").unlink()
    done = made("separation_stft", tmp_path, tmp_path / "corpus")
    assert (done.counts["dev"], done.skipped) == (1, {"mixture without its two sources": 1})
    (line,) = lines(tmp_path, "dev/mix_clean/wav.scp")
    assert line.split()[1] == str(tmp_path / "corpus/wav16k/min/dev/mix_clean/10-1-0000_20-1-0001.wav")


def test_speaker_times_are_derived_from_the_sources_or_taken_from_kaldi_folders(tmp_path) -> None:
    done = made("diarization", tmp_path)
    assert any("not from SUPERB's alignment" in note for note in done.notes)
    turns = [line.split() for line in lines(tmp_path, "test/rttm")]
    assert [(turn[7], round(float(turn[3])), round(float(turn[4]))) for turn in turns[:2]] == [
        ("20", 0, 1),
        ("10", 1, 1),
    ]
    kaldi = prepare("diarization", tmp_path / "out", tmp_path / "again")
    assert kaldi.counts == done.counts
    total = {
        folder: sum(
            float(line.split()[4]) for line in (tmp_path / folder / "test/rttm").read_text().splitlines()
        )
        for folder in ("out", "again")
    }
    assert np.isclose(total["out"], total["again"], atol=0.05)
    (tmp_path / "out" / "dev" / "segments").unlink()
    with pytest.raises(SuperbError, match="dev/segments"):
        prepare("diarization", tmp_path / "out", tmp_path / "third")


def test_voicebanks_dev_is_two_speakers_and_its_rate_is_left_to_s3prl(tmp_path) -> None:
    done = made("enhancement_stft", tmp_path)
    assert done.counts == {"train": 1, "dev": 1, "test": 1}
    (line,) = lines(tmp_path, "dev/clean/wav.scp")
    assert line.split()[1].endswith("clean_trainset_28spk_wav/p226_001.wav")
