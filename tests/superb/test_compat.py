"""The compatibility layer, on faked stacks: what is there and works stays, what is not is made good."""

from __future__ import annotations

import argparse
import importlib.util
import io
import pickle
import sys
import threading

import pytest
import torch
from fakes import broken_torchaudio, old_huggingface_hub, old_torchaudio, put

from streaming_wavlm.errors import MissingDependencyError, SuperbError
from streaming_wavlm.superb import compat, torchaudio_repair


@pytest.fixture(autouse=True)
def restored():
    """Leave torch's list of what it unpickles, and Python's finders, as they were."""
    finders, allowed = list(sys.meta_path), torch.serialization.get_safe_globals()
    yield
    sys.meta_path[:] = finders
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)


def test_on_an_old_stack_nothing_changes(monkeypatch) -> None:
    # Another test of this process may have needed the repair that this stack does not.
    monkeypatch.delitem(sys.modules, "torchaudio._extension", raising=False)
    modules = [old_torchaudio(monkeypatch), old_huggingface_hub(monkeypatch)]
    modules.append(sys.modules["torchaudio.sox_effects"])
    before = [dict(module.__dict__) for module in modules]
    real_load = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **_: real_load(file, weights_only=False))
    monkeypatch.setattr(torch.serialization, "add_safe_globals", None)
    compat.apply()
    assert [module.__dict__ for module in modules] == before
    assert torchaudio_repair.repaired() == ()


def test_experiments_can_be_read_where_torch_loads_anything_by_default(python, tmp_path) -> None:
    program = (
        "import argparse, json, torch\n"
        "from pathlib import Path\n"
        "from streaming_wavlm.superb.experiments import load_experiment\n"
        f"path = Path({str(tmp_path / 'states-1.ckpt')!r})\n"
        "torch.save({'Args': argparse.Namespace(a=1), 'Config': {}}, path)\n"
        "print(json.dumps(load_experiment(path)['Args'].a))"
    )
    assert python(program, env={"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}) == 1


def test_a_new_torchaudio_gains_what_it_lost(monkeypatch, tmp_path) -> None:
    old_huggingface_hub(monkeypatch)
    monkeypatch.delitem(sys.modules, "torchaudio.sox_effects", raising=False)

    def needs_torchcodec(*_, **__):
        raise ImportError("TorchCodec is required")

    torchaudio = put(monkeypatch, "torchaudio", load=needs_torchcodec, save=needs_torchcodec)
    monkeypatch.setitem(sys.modules, "torchaudio.sox_effects", None)
    compat.apply()
    torchaudio.set_audio_backend("sox_io")
    assert torchaudio.list_audio_backends() == ["soundfile"]
    path = str(tmp_path / "a.wav")
    torchaudio.save(path, torch.full((1, 100), 0.5), 16000)
    assert torchaudio.load(path)[0].shape == (1, 100)
    assert torchaudio.info(path).num_frames == 100
    from torchaudio.sox_effects import apply_effects_file

    wave, rate = apply_effects_file(path, [["channels", "1"], ["rate", "16000"], ["gain", "0"]])
    assert (wave.shape, rate) == ((1, 100), 16000)
    assert "torchaudio.load" in torchaudio_repair.repaired()


def test_the_second_time_nothing_changes(monkeypatch) -> None:
    old_huggingface_hub(monkeypatch)
    torchaudio = put(monkeypatch, "torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio.sox_effects", None)
    compat.apply()
    before, finders = dict(torchaudio.__dict__), list(sys.meta_path)
    compat.apply()
    assert torchaudio.__dict__ == before
    assert sys.meta_path == finders


def test_effects_without_a_sox_are_replaced_where_they_are(monkeypatch) -> None:
    torchaudio = old_torchaudio(monkeypatch)

    def no_sox(*_, **__):
        raise RuntimeError("sox extension is not available")

    torchaudio.sox_effects.apply_effects_tensor = no_sox
    torchaudio_repair.complete(torchaudio)
    wave, _ = torchaudio.sox_effects.apply_effects_tensor(torch.ones(1, 4), 16000, [["gain", "-6"]])
    assert wave[0, 0].item() == pytest.approx(10 ** (-6 / 20))
    assert torchaudio.load is not None
    assert "torchaudio.load" not in torchaudio_repair.repaired()


def test_publishing_names_explain_themselves_when_used(monkeypatch) -> None:
    old_torchaudio(monkeypatch)
    hub = put(monkeypatch, "huggingface_hub", HfApi=object)
    compat.apply()
    for use in (hub.Repository, hub.HfFolder.get_token, lambda: hub.HfFolder.save_token("x")):
        with pytest.raises(SuperbError, match=r"huggingface_hub below 1\.0"):
            use()


def test_experiments_of_s3prl_can_be_read_and_other_objects_not(monkeypatch) -> None:
    torch.serialization.clear_safe_globals()
    saved = {name: io.BytesIO() for name in ("experiment", "other")}
    torch.save({"Args": argparse.Namespace(mode="train")}, saved["experiment"])
    torch.save({"Args": threading.Timer}, saved["other"])
    for file in saved.values():
        file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved["experiment"])
    compat.allow_experiments()
    saved["experiment"].seek(0)
    assert torch.load(saved["experiment"])["Args"].mode == "train"
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved["other"])


@pytest.mark.parametrize("missing", ["torchaudio", "huggingface_hub"])
def test_a_missing_library_is_an_error_that_names_the_extra(missing, monkeypatch) -> None:
    old_torchaudio(monkeypatch)
    old_huggingface_hub(monkeypatch)
    monkeypatch.delitem(sys.modules, missing)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(
        MissingDependencyError, match=rf"{missing} is not installed.*streaming-wavlm\[superb\]"
    ):
        compat.apply()


@pytest.mark.parametrize("error", ["OSError('no libcudart')", "RuntimeError('different CUDA versions')"])
def test_torchaudio_loads_without_its_native_library(error, tmp_path, python) -> None:
    program = """
import json, sys
import streaming_wavlm.superb
import torchaudio
try:
    torchaudio.functional.forced_align()
except RuntimeError as error:
    said = str(error)
extension = torchaudio._extension
print(json.dumps([torchaudio.__file__, extension._IS_TORCHAUDIO_EXT_AVAILABLE, said,
                  extension.lazy_import_sox_ext().is_available(), hasattr(extension, "something_else"),
                  torchaudio.__spec__.loader is torchaudio.__loader__, type(torchaudio.__loader__).__name__]))
"""
    file, available, said, sox, other, same, loader = python(program, broken_torchaudio(tmp_path, error))
    assert file.startswith(str(tmp_path))
    assert (available, sox, other, same, loader) == (False, False, False, True, "SourceFileLoader")
    assert "forced_align is not available" in said


def test_other_failures_of_torchaudio_are_not_hidden(tmp_path, python) -> None:
    program = """
import json, streaming_wavlm.superb
try:
    import torchaudio
except ZeroDivisionError as error:
    print(json.dumps(str(error)))
"""
    assert python(program, broken_torchaudio(tmp_path, "ZeroDivisionError('a bug')")) == "a bug"


def test_verification_preprocesses_in_threads_only_where_torchaudio_was_mended(monkeypatch) -> None:
    made = []

    def load(module):
        module.Parallel = lambda **options: made.append(options)

    for repaired in ((), ("torchaudio.load",)):
        monkeypatch.setattr(torchaudio_repair, "repaired", lambda repaired=repaired: repaired)
        module = put(monkeypatch, "fake_dataset")
        name = "s3prl.downstream.sv_voxceleb1.dataset"
        compat.REPAIRS[name](module, lambda module=module: load(module))
        module.Parallel(n_jobs=12)
    assert made == [{"n_jobs": 12}, {"n_jobs": 12, "backend": "threading"}]


@pytest.mark.parametrize("cuda", [False, True])
def test_verification_runs_without_cuda_and_is_left_alone_with_it(cuda, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: calls.append("cuda") or tensor)

    class Expert:
        def forward(self, mode, features, *, records):
            return features.cuda() + 1

    module = put(monkeypatch, "fake_expert", DownstreamExpert=Expert)
    compat.REPAIRS["s3prl.downstream.sv_voxceleb1.expert"](module, lambda: None)
    before = torch.Tensor.cuda
    assert module.DownstreamExpert().forward("train", torch.zeros(1), records={}).item() == 1
    assert torch.Tensor.cuda is before
    assert calls == (["cuda"] if cuda else [])
