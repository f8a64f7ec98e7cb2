"""Options that are not S3PRL's."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.own_options import OwnOptions, take, use_checkout


def test_they_are_taken_out_wherever_they_stand() -> None:
    command = [
        "-m",
        "train",
        "--heads",
        "causal",
        "-o",
        "config.a=1,,config.b='--heads'",
        "--s3prl=x",
        "-n",
        "e",
    ]
    own, rest = take(command)
    assert own == OwnOptions("causal", Path("x"))
    assert rest == ["-m", "train", "-o", "config.a=1,,config.b='--heads'", "-n", "e"]
    assert take(["-m", "train"]) == (OwnOptions(), ["-m", "train"])
    assert take(["--help", "-h"])[1] == ["--help", "-h"]


@pytest.mark.parametrize(
    ("argv", "said"), [(["--heads", "both"], "both"), (["--s3prl"], "expected one argument")]
)
def test_a_value_that_is_none_is_a_named_error(argv, said) -> None:
    with pytest.raises(SuperbError, match=rf"{said}.*--heads takes published or causal"):
        take(argv)


@pytest.mark.parametrize("given", [".", "s3prl"])
def test_a_checkout_comes_before_what_is_installed(given, tmp_path, monkeypatch) -> None:
    (tmp_path / "s3prl").mkdir()
    (tmp_path / "s3prl" / "hub.py").touch()
    monkeypatch.delitem(sys.modules, "s3prl", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    use_checkout(tmp_path / given)
    use_checkout(tmp_path / given)
    assert sys.path[0] == str(tmp_path.resolve())
    assert sys.path.count(sys.path[0]) == 1


def test_a_folder_without_s3prl_and_a_second_s3prl_are_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(SuperbError, match=r"is no checkout of S3PRL: .*hub\.py is not there"):
        use_checkout(tmp_path)
    (tmp_path / "s3prl").mkdir()
    (tmp_path / "s3prl" / "hub.py").touch()
    loaded = ModuleType("s3prl")
    loaded.__path__ = ["/elsewhere/s3prl"]
    monkeypatch.setitem(sys.modules, "s3prl", loaded)
    with pytest.raises(SuperbError, match="loaded from /elsewhere/s3prl already"):
        use_checkout(tmp_path)
