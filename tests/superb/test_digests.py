"""What tells experiments from each other changes with what files say, and not with where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.digests import checkpoint_digest, config_digest, corpus_digest


def test_a_corpus_and_its_config_may_be_moved(tmp_path) -> None:
    config = prepare("voxceleb1", "embedded", tmp_path / "a").config
    before = config_digest(config), corpus_digest(config)
    assert None not in before
    (tmp_path / "a").rename(tmp_path / "b=, é")
    moved = prepare("voxceleb1", "embedded", tmp_path / "b=, é").config
    assert (config_digest(moved), corpus_digest(moved)) == before
    again = prepare("voxceleb1", "embedded", tmp_path / "c").config
    assert (config_digest(again), corpus_digest(again)) == before


def test_another_corpus_with_the_same_config_is_told_apart(tmp_path) -> None:
    first = prepare("voxceleb1", "embedded", tmp_path / "a", seed=0).config
    other = prepare("diarization", "embedded", tmp_path / "b", seed=0).config
    third = prepare("diarization", "embedded", tmp_path / "c", seed=1).config
    assert config_digest(other) == config_digest(third)
    assert len({corpus_digest(config) for config in (first, other, third)}) == 3


def test_a_corpus_that_an_earlier_version_made_gets_its_digest(tmp_path) -> None:
    config = prepare("voxceleb1", "embedded", tmp_path / "a").config
    facts = tmp_path / "a" / "prepared.json"
    digest, text = corpus_digest(config), facts.read_text()
    assert '"content"' in text
    facts.write_text(text.replace('"content"', '"other"'))
    assert corpus_digest(config) is None
    prepare("voxceleb1", "embedded", tmp_path / "a")
    assert corpus_digest(config) == digest


def test_a_config_that_was_not_prepared_has_no_corpus(tmp_path) -> None:
    (tmp_path / "config.yaml").write_text("runner: {}")
    assert corpus_digest(tmp_path / "config.yaml") is None


def test_checkpoints_are_told_apart_by_content(tmp_path) -> None:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1")
    (folder / "config.json").write_text("{}")
    before = checkpoint_digest(folder)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "notes.md").write_text("a copy")
    assert checkpoint_digest(tmp_path / "copy") == before
    (folder / "model.safetensors").write_bytes(b"2")
    assert checkpoint_digest(folder) != before
    assert checkpoint_digest("owner/name") == "owner/name"
    assert len(checkpoint_digest("mini")) == 16
    assert Path("mini").exists() or checkpoint_digest("mini") != "mini"
