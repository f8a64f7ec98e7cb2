"""Our names on S3PRL's hub: there, once, and never in somebody else's place."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType

import pytest

from streaming_wavlm.errors import MissingDependencyError, SuperbError
from streaming_wavlm.presets import UPSTREAMS
from streaming_wavlm.superb import factories, register, registration


def test_a_hub_gains_the_six_names_and_nothing_else() -> None:
    hub = ModuleType("s3prl.hub")
    before = set(hub.__dict__)
    registration.register_on(hub)
    assert set(hub.__dict__) - before == set(UPSTREAMS)
    assert hub.streaming_wavlm_400ms is factories.streaming_wavlm_400ms


def test_registering_again_changes_nothing() -> None:
    hub = ModuleType("s3prl.hub")
    registration.register_on(hub)
    before = dict(hub.__dict__)
    registration.register_on(hub)
    assert hub.__dict__ == before


def test_a_name_that_is_taken_stays_its_owners() -> None:
    hub = ModuleType("s3prl.hub")
    theirs = hub.streaming_wavlm_400ms = type("Theirs", (), {})
    with pytest.raises(SuperbError, match=rf"already has streaming_wavlm_400ms \(from {__name__}\)"):
        registration.register_on(hub)
    assert hub.streaming_wavlm_400ms is theirs
    assert hub.streaming_wavlm is factories.streaming_wavlm


def test_a_hub_that_is_loaded_gets_the_names_on_import_and_a_clash_is_logged(monkeypatch, caplog) -> None:
    hub = ModuleType("s3prl.hub")
    hub.streaming_wavlm = len
    monkeypatch.setitem(sys.modules, "s3prl.hub", hub)
    with caplog.at_level(logging.WARNING):
        registration.register_if_loaded()
    assert hub.streaming_wavlm_200ms is factories.streaming_wavlm_200ms
    assert hub.streaming_wavlm is len
    assert "from builtins" in caplog.text


def test_without_s3prl_the_error_names_the_extra(monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.delitem(sys.modules, "s3prl", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3prl" else find(name))
    with pytest.raises(MissingDependencyError, match=r"s3prl is not installed.*streaming-wavlm\[superb\]"):
        register()


def test_importing_loads_neither_torch_nor_s3prl(python) -> None:
    program = """
import json, sys
import streaming_wavlm.superb
print(json.dumps([name for name in ("torch", "s3prl", "torchaudio", "numpy") if name in sys.modules]))
"""
    assert python(program) == []


def test_importing_without_s3prl_leaves_the_upstreams_usable(checkpoint, python) -> None:
    program = f"""
import json, sys
sys.modules["s3prl"] = sys.modules["torchaudio"] = None
import streaming_wavlm.superb
from streaming_wavlm.superb.factories import streaming_wavlm_200ms
import torch
print(json.dumps(list(streaming_wavlm_200ms(ckpt={str(checkpoint)!r})([torch.zeros(800)])["PR"][0].shape)))
"""
    assert python(program) == [1, 3, 16]


def test_a_plain_import_of_the_hub_knows_our_names(tmp_path, python) -> None:
    """On a stand-in for S3PRL; the real one is in test_s3prl.py."""
    (tmp_path / "s3prl").mkdir()
    (tmp_path / "s3prl" / "__init__.py").touch()
    (tmp_path / "s3prl" / "hub.py").write_text(
        "import torchaudio\nimport huggingface_hub as hub\nhub.HfFolder\n"
    )
    (tmp_path / "torchaudio.py").touch()
    (tmp_path / "huggingface_hub.py").touch()
    program = """
import json
import streaming_wavlm.superb
from s3prl import hub
print(json.dumps([hub.streaming_wavlm_offline.__name__, hub.__file__]))
"""
    name, file = python(program, tmp_path)
    assert name == "streaming_wavlm_offline"
    assert file.startswith(str(tmp_path))
