"""Preparing a corpus: whole or not at all, once, from a source that is named plainly."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import yaml
from made_speech import burst, manifest, numbered, write

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.corpora import prepare, prepared, template, workshop
from streaming_wavlm.superb.corpora.layouts import LAYOUTS
from streaming_wavlm.superb.corpora.sources import original
from streaming_wavlm.superb.tasks import TASKS

ROWS = numbered({"train": 3, "dev": 1, "test": 2}, speaker="{split}", text="word {i}")


def paths(config) -> dict[str, str]:
    return yaml.safe_load(config.read_text())["downstream_expert"]["datarc"]


def test_every_task_has_a_layout_and_a_corpus_of_superbs() -> None:
    assert set(LAYOUTS) == set(original.CHECKERS) == set(original.NAMES) == set(TASKS)


@pytest.mark.parametrize("task", sorted(LAYOUTS))
def test_the_embedded_speech_serves_every_task_and_every_path_of_the_config_exists(task, tmp_path) -> None:
    made = prepare(task, "embedded", tmp_path / "out")
    config = yaml.safe_load(made.config.read_text())
    assert TASKS[task].missing(config) is None
    assert not made.skipped.keys() & {"unreadable audio", "silent", "too short"}
    assert made.notes
    counted = [count for name, count in made.counts.items() if "trials" not in name]
    assert all(counted)
    assert sum(counted) <= (160 if task != "voxceleb1" else 600)


def test_only_paths_differ_from_the_config_that_ships(tmp_path) -> None:
    made = prepare("asr", manifest(tmp_path, ROWS), tmp_path / "out")
    shipped = yaml.safe_load(template.template_path("asr", mini=True).read_text())
    found = yaml.safe_load(made.config.read_text())
    for key in ("libri_root", "bucket_file", "dict_path"):
        assert found["downstream_expert"]["datarc"][key].startswith(str(tmp_path / "out"))
        found["downstream_expert"]["datarc"][key] = shipped["downstream_expert"]["datarc"][key]
    assert found == shipped


def test_a_second_call_finds_the_work_done_and_other_settings_are_refused(tmp_path, monkeypatch) -> None:
    table = manifest(tmp_path, ROWS)
    made = prepare("asr", table, tmp_path / "out")
    with pytest.raises(SuperbError, match="other settings"):
        prepare("asr", table, tmp_path / "out", seed=1)
    monkeypatch.setattr(workshop, "read_audio", None)
    assert prepare("asr", table, tmp_path / "out") == made
    table.write_text(table.read_text().replace("word 0", "other"))
    with pytest.raises(SuperbError, match="other settings"):
        prepare("asr", table, tmp_path / "out")


def test_the_config_follows_the_folder_and_the_configs_that_ship(tmp_path, monkeypatch) -> None:
    table = manifest(tmp_path, ROWS)
    prepare("asr", table, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    made = prepare("asr", table, tmp_path / "moved")
    assert paths(made.config)["libri_root"] == str(tmp_path / "moved" / "LibriSpeech")
    shipped = tmp_path / "asr.yaml"
    shipped.write_text("runner: {total_steps: 7}\n")
    monkeypatch.setattr(prepared, "template_path", lambda task, mini: shipped)
    again = prepare("asr", table, tmp_path / "moved")
    assert yaml.safe_load(again.config.read_text())["runner"] == {"total_steps": 7}
    assert paths(again.config)["libri_root"] == str(tmp_path / "moved" / "LibriSpeech")


def test_a_failure_halfway_leaves_nothing(tmp_path, monkeypatch) -> None:
    table = manifest(tmp_path / "in", ROWS)
    (tmp_path / "there").mkdir()
    calls = []

    def full(*arguments, **options):
        calls.append(arguments)
        if len(calls) > 3:
            raise OSError("disk full")

    monkeypatch.setattr(workshop.soundfile, "write", full)
    with pytest.raises(OSError, match="disk full"):
        prepare("asr", table, tmp_path / "there" / "out")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path) -> None:
    table = manifest(tmp_path / "in", ROWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("dear")
    with pytest.raises(SuperbError, match="not a corpus that this command made"):
        prepare("asr", table, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_other_rates_and_channels_become_16_khz_mono_and_are_counted(tmp_path) -> None:
    rows = numbered({"train": 2, "dev": 1, "test": 1}, text="a")
    rows[0]["path"] = "eight.wav"
    write(tmp_path / "eight.wav", np.stack([burst(0.5), burst(0.5, 1)], axis=1), 8000)
    made = prepare("asr", manifest(tmp_path, rows), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert next((tmp_path / "out").rglob("train-0.wav")).stat().st_size == 44 + 2 * 16000
    assert "1 recordings at other rates were resampled to 16 kHz" in made.notes


def test_what_was_left_out_is_written_down(tmp_path) -> None:
    rows = [*ROWS, {"id": "mute", "split": "train", "text": "...", "speaker": "x"}]
    made = prepare("asr", manifest(tmp_path, rows), tmp_path / "out")
    assert made.skipped == {"empty transcript": 1}
    assert json.loads((tmp_path / "out" / "prepared.json").read_text())["skipped"] == made.skipped


@pytest.mark.parametrize(
    ("task", "source", "match"),
    [
        ("ctc", "embedded", "no corpus is prepared for the task 'ctc'"),
        ("asr", "LibriSpeech", "no corpus at 'LibriSpeech'.*the folder of LibriSpeech"),
        ("asr", "bench:", "bench:DIR"),
        ("asr", "bench:nowhere", "nowhere holds no bench sets"),
        ("asr", "nothing.tsv", "nothing.tsv cannot be read"),
    ],
)
def test_a_source_that_is_not_there_is_named(task, source, match, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuperbError, match=match):
        prepare(task, source, "out")
    assert not (tmp_path / "out").exists()


def test_a_manifest_says_which_columns_and_splits_are_wrong(tmp_path) -> None:
    with pytest.raises(SuperbError, match="lacks the columns phones; it has id, path, speaker, split, text"):
        prepare("phone_linear", manifest(tmp_path, ROWS), tmp_path / "out")
    rows = [*ROWS, {"id": "odd", "split": "tset", "text": "a", "speaker": "x"}]
    with pytest.raises(SuperbError, match="train, dev or test, got tset"):
        prepare("asr", manifest(tmp_path, rows), tmp_path / "out")


def test_a_bench_folder_lacking_a_set_is_refused(tmp_path) -> None:
    table = manifest(tmp_path / "bench" / "so762", ROWS)
    table.rename(table.with_name("manifest.tsv"))
    with pytest.raises(SuperbError, match="bench set emodb is missing"):
        prepare("emotion", f"bench:{tmp_path}", tmp_path / "out")
