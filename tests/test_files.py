"""A file is replaced whole, or what was there stays."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from safetensors.torch import save_file

from streaming_wavlm.files import locked, replacing, sweep
from tiny import tiny_model


def test_a_complete_file_takes_its_place_and_leaves_nothing_beside(tmp_path) -> None:
    (tmp_path / "a").write_text("old")
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_on_the_way_keeps_what_was_there(tmp_path) -> None:
    (tmp_path / "a").write_text("old")

    def fail_half_way() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_whoever_the_umask_lets_may_read_whatever_writes_the_file(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as temporary:
            save_file({"x": torch.zeros(1)}, temporary)
        tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 2
    assert {oct(path.stat().st_mode & 0o777) for path in written} == {"0o640"}


def test_what_killed_writers_left_is_swept_up_and_nothing_else(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    with replacing(tmp_path / "deep" / "a") as temporary:
        temporary.write_text("whole")
    names = ["a", "b.tmp", ".b.tmp", ".b.draft.tmp", "deep/a", "deep/.hidden", "b.0123abcd.tmp"]
    kept = [tmp_path / name for name in names]
    (tmp_path / ".folder.0123abcd.tmp").mkdir()
    for path in [*kept, temporary]:
        path.write_text("x")
    sweep(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert (tmp_path / ".folder.0123abcd.tmp").is_dir()


def test_a_lock_is_one_processs_until_it_lets_go(tmp_path) -> None:
    path = tmp_path / "lock"
    held = locked(path)
    with pytest.raises(BlockingIOError):
        locked(path)
    held.close()
    locked(path).close()
    assert path.exists()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_gives_none_and_says_so(tmp_path, monkeypatch, caplog, code) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    assert locked(tmp_path / "lock") is None
    assert "cannot be locked here" in caplog.text


def test_any_other_failure_of_a_lock_is_told(tmp_path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        locked(tmp_path / "lock")
