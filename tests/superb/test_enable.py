"""Opting an environment in and out, in a folder of its own that a fresh Python takes for site-packages."""

from __future__ import annotations

import os

import pytest
from fakes import broken_torchaudio

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.enable import disable, enable

START = "import json, os, site, sys\nsite.addsitedir(os.environ['SITE'])\n"


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def test_enabling_costs_little_and_loads_nothing(site, python) -> None:
    done = enable(site)
    # Around 0.4 ms on an idle machine; importing typing alone would take ten.
    assert 0 < done.milliseconds < 10
    program = START + (
        "print(json.dumps([len([f for f in sys.meta_path if type(f).__name__ == 'Finder']),"
        " [name for name in ('streaming_wavlm', 'typing', 'torch', 's3prl') if name in sys.modules]]))"
    )
    count, loaded = python(program, env={"SITE": str(site)})
    assert count == 1
    assert set(loaded) <= {"typing"}


def test_a_plain_import_is_mended(site, tmp_path, python) -> None:
    enable(site)
    program = START + "import torchaudio\nprint(json.dumps(callable(torchaudio.set_audio_backend)))"
    assert python(program, broken_torchaudio(tmp_path / "libraries"), env={"SITE": str(site)}) is True


def test_the_hook_is_installed_once_however_it_comes(site, python) -> None:
    enable(site)
    program = START + (
        "import streaming_wavlm.superb\n"
        "print(json.dumps(sum(hasattr(f, 'streaming_wavlm_version') for f in sys.meta_path)))"
    )
    assert python(program, env={"SITE": str(site)}) == 1


@pytest.mark.parametrize("damage", ["syntax", "missing", "empty"])
def test_a_broken_hook_does_not_keep_python_from_starting(damage, site, python) -> None:
    enable(site)
    hook = site / "_streaming_wavlm_hook.py"
    if damage == "missing":
        hook.unlink()
    else:
        hook.write_text("def broken(:" if damage == "syntax" else "")
    program = (
        "import contextlib, io, json, os, site\n"
        "with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "    site.addsitedir(os.environ['SITE'])\n"
        "print(json.dumps(said.getvalue()))"
    )
    assert python(program, env={"SITE": str(site)}) == ""


def test_without_the_package_other_imports_are_as_before_with_a_warning(site, tmp_path, python) -> None:
    enable(site)
    (tmp_path / "torchaudio.py").write_text("there = True")
    program = START + (
        "import warnings\n"
        "sys.modules['streaming_wavlm'] = None\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    import torchaudio\n"
        "print(json.dumps([torchaudio.there, str(said[0].message)]))"
    )
    there, said = python(program, tmp_path, env={"SITE": str(site)})
    assert there
    assert "_streaming_wavlm_hook.py" in said


def test_enabling_twice_and_disabling_leave_nothing_behind(site) -> None:
    first, second = enable(site), enable(site)
    assert first.files == second.files
    assert {path.name for path in site.iterdir()} - {"__pycache__"} == {path.name for path in first.files}
    removed = disable(site)
    assert set(removed) >= set(first.files)
    assert [path for path in site.rglob("*") if path.is_file()] == []
    assert disable(site) == ()


def test_enabling_brings_an_older_hook_up_to_date(site) -> None:
    (site / "_streaming_wavlm_hook.py").write_text("VERSION = 0\n")
    enable(site)
    assert "VERSION = 0" not in (site / "_streaming_wavlm_hook.py").read_text()


def test_a_folder_that_is_not_there_is_a_named_error(tmp_path) -> None:
    for action in (enable, disable):
        with pytest.raises(SuperbError, match="is no folder"):
            action(tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_a_named_error(site) -> None:
    site.chmod(0o500)
    with pytest.raises(SuperbError, match="cannot write"):
        enable(site)


def test_a_write_that_fails_leaves_no_half_file(site, monkeypatch) -> None:
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(SuperbError, match=r"disk full.*--site-dir"):
        enable(site)
    assert list(site.iterdir()) == []


def test_an_older_hook_gives_way(site, python) -> None:
    enable(site)
    hook = site / "_streaming_wavlm_hook.py"
    hook.write_text(hook.read_text().replace("VERSION = 2", "VERSION = 1"))
    program = START + (
        "import streaming_wavlm.superb\n"
        "print(json.dumps([f.streaming_wavlm_version for f in sys.meta_path"
        " if hasattr(f, 'streaming_wavlm_version')]))"
    )
    assert python(program, env={"SITE": str(site)}) == [2]
