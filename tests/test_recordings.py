"""Which files a list of files and folders means, and names that never collide."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streaming_wavlm.recordings import _unique_names, find_recordings


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    corpus = ("b.wav", "a.WAV", "deep/er/c.flac", "notes.txt", "._a.wav", ".hidden/d.wav")
    others = ("other/b.wav", "twins/x.wav", "twins/x.flac", "twins/y.wav", "silent/readme.md")
    for name in (*(f"corpus/{file}" for file in corpus), *others):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(*sources: Path) -> list[str]:
    return [recording.name.as_posix() for recording in find_recordings(sources).recordings]


def test_a_folder_keeps_its_structure_and_only_its_audio_is_taken(tree: Path) -> None:
    assert names(tree / "corpus") == ["a", "b", "deep/er/c"]


def test_a_file_is_taken_whatever_its_suffix(tree: Path) -> None:
    assert names(tree / "corpus/notes.txt") == ["notes"]


def test_folders_side_by_side_keep_their_names(tree: Path) -> None:
    assert names(tree / "corpus", tree / "other") == ["corpus/a", "corpus/b", "corpus/deep/er/c", "other/b"]
    assert names(tree / "corpus/b.wav", tree / "other/b.wav") == ["corpus/b", "other/b"]


def test_files_that_differ_only_in_their_suffix_keep_it(tree: Path) -> None:
    assert names(tree / "twins") == ["x.flac", "x.wav", "y"]


def test_a_file_named_twice_is_taken_once(tree: Path) -> None:
    assert names(tree / "corpus", tree / "corpus/b.wav", tree / "other/../corpus/a.WAV") == [
        "a",
        "b",
        "deep/er/c",
    ]


def test_folders_without_audio_are_told(tree: Path) -> None:
    found = find_recordings([tree / "silent", tree / "other"])
    assert found.without_audio == (tree / "silent",)
    assert len(found.recordings) == 1
    assert find_recordings([]).recordings == ()


def test_links_are_followed_but_not_in_circles(tree: Path) -> None:
    (tree / "other/link").symlink_to(tree / "corpus/deep")
    (tree / "corpus/deep/back").symlink_to(tree / "corpus/deep")
    assert names(tree / "other") == ["b", "link/er/c"]


@given(st.lists(st.from_regex(r"[ab](\.wav|\.mp3){1,3}", fullmatch=True), unique=True, max_size=8))
def test_names_are_unique_whatever_the_files_are_called(files: list[str]) -> None:
    unique = _unique_names([Path(file) for file in files])
    assert len(set(unique)) == len(files)
