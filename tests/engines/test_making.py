"""Engines by name: the choice is measured once, and what cannot run says why."""

from __future__ import annotations

import copy
import json

import pytest
import torch

import streaming_wavlm as sw
from streaming_wavlm.engines import ENGINES, PackedModel, auto, available, choose, make_engine, making
from streaming_wavlm.errors import ConfigError, EngineError, MissingDependencyError
from streaming_wavlm.model import StreamingWavLM
from tiny import tiny_model


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def _no_exports(monkeypatch) -> None:
    """The engines that export graphs take seconds to make; tests/engines/test_graph_engines.py has them."""
    light = tuple(name for name in ENGINES if name not in ("openvino", "onnxruntime"))
    monkeypatch.setattr(auto, "ENGINES", light)


def test_auto_is_measured_once_and_remembered(tmp_path, monkeypatch) -> None:
    model = tiny_model(dtype=torch.float32)
    first = choose(model, "fp32", make_engine)
    assert first.engine == min(first.step_ms, key=lambda name: first.step_ms[name])
    assert set(first.step_ms) | set(first.left_out) == set(auto.ENGINES[1:])
    monkeypatch.setattr(auto, "_measured", lambda *_: pytest.fail("measured twice"))
    assert choose(model, "fp32", make_engine) == first
    assert list(tmp_path.rglob("*")) == [tmp_path / "streaming-wavlm", auto._cache_file()]


def test_another_precision_or_architecture_is_measured_anew() -> None:
    model = tiny_model(dtype=torch.float32)
    names = {
        auto._name(model, "fp32"),
        auto._name(model, "bf16"),
        auto._name(model.with_chunk(200), "fp32"),
    }
    assert len(names) == 3


def remember(model: StreamingWavLM, **changes: object) -> None:
    """Put a choice for a model where it will be looked for."""
    choice = {"engine": "eager", "step_ms": {"eager": 1.0}, "left_out": {}, "threads": 1, **changes}
    auto._write(auto._cache_file(), {auto._name(model, "fp32"): choice})


def unpackable() -> StreamingWavLM:
    """A model of the usual architecture whose gates the packed engine refuses."""
    model = tiny_model(dtype=torch.float32)
    with torch.no_grad():
        model.encoder.layers[1].attention.gru_rel_pos_const.fill_(-2)
    return model


def test_another_device_is_measured_anew(monkeypatch) -> None:
    model = tiny_model(dtype=torch.float32)
    assert auto._name(model, "fp32") != auto._name(copy.deepcopy(model).to("meta"), "fp32")
    names = iter(["H100", "A10"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: next(names))
    assert auto._device(torch.device("cuda")) != auto._device(torch.device("cuda"))


def test_a_model_that_cannot_be_packed_does_not_choose_for_its_siblings() -> None:
    model = tiny_model(dtype=torch.float32)
    remember(model, engine="packed")
    odd = unpackable()
    with pytest.raises(EngineError, match="gru_rel_pos_const"):
        make_engine(odd, "packed")
    assert make_engine(odd, "auto") is odd
    assert "gru_rel_pos_const" in choose(odd, "fp32", make_engine).left_out["packed"]
    assert isinstance(make_engine(model, "auto"), PackedModel)


@pytest.mark.parametrize(
    "changes",
    [{"engine": "cuda_graph"}, {"engine": "auto"}, {"engine": "warp"}, {"engine": ["eager"]}, {"step_ms": 1}],
    ids=str,
)
def test_a_remembered_choice_that_does_not_fit_is_measured_anew(changes) -> None:
    model = tiny_model(dtype=torch.float32)
    remember(model, **changes)
    choice = choose(model, "fp32", make_engine)
    assert choice.engine in choice.step_ms
    remember(model, **changes)
    assert make_engine(model, "auto").config == model.config


def test_a_remembered_engine_that_cannot_be_made_is_measured_anew(monkeypatch) -> None:
    model = tiny_model(dtype=torch.float32)
    remember(model, engine="packed")

    def fail(*_: object) -> None:
        raise EngineError("no such products here")

    monkeypatch.setattr(making, "PackedModel", fail)
    assert make_engine(model, "auto") is model
    assert choose(model, "fp32", make_engine).left_out["packed"] == "no such products here"


@pytest.mark.parametrize("damage", ["", "[1]", '{"x": 1}', "{"])
def test_a_damaged_memory_of_choices_is_measured_anew(damage) -> None:
    place = auto._cache_file()
    place.parent.mkdir(parents=True)
    place.write_text(damage)
    model = tiny_model(dtype=torch.float32)
    choice = choose(model, "fp32", make_engine)
    assert json.loads(place.read_text())[auto._name(model, "fp32")]["engine"] == choice.engine


def test_a_home_that_cannot_be_written_is_no_error(tmp_path, monkeypatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert choose(tiny_model(dtype=torch.float32), "fp32", make_engine).step_ms


def test_a_user_without_a_home_is_no_error(monkeypatch) -> None:
    def fail() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(auto.Path, "home", fail)
    assert choose(tiny_model(dtype=torch.float32), "fp32", make_engine).step_ms


def test_load_takes_an_engine(monkeypatch) -> None:
    assert isinstance(sw.load("mini"), StreamingWavLM)
    assert isinstance(sw.load("mini", engine="packed", precision="bf16"), PackedModel)
    eager = sw.load("mini", engine="eager", precision="bf16")
    assert isinstance(eager, StreamingWavLM)
    assert eager.dtype == torch.bfloat16
    before = torch.get_num_threads()
    try:
        sw.load("mini", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_engines_of_other_runtimes_are_made_by_name(monkeypatch) -> None:
    """Which arguments they get; what they compute is tested beside them."""
    openvino = pytest.importorskip("streaming_wavlm.engines.openvino")
    onnxruntime = pytest.importorskip("streaming_wavlm.engines.onnxruntime")
    for module, kind in ((openvino, "OpenVINOModel"), (onnxruntime, "OnnxRuntimeModel")):
        monkeypatch.setattr(module, kind, lambda model, precision, kind=kind: (kind, precision))
    monkeypatch.setattr(available.importlib.util, "find_spec", lambda name: name)
    model = tiny_model(dtype=torch.float32)
    assert make_engine(model, "openvino", "int8") == ("OpenVINOModel", "int8")
    assert make_engine(model, "onnxruntime") == ("OnnxRuntimeModel", "fp32")
    with pytest.raises(EngineError, match="no bf16"):
        make_engine(model, "onnxruntime", "bf16")
    monkeypatch.setattr(available.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"streaming-wavlm\[onnx\]"):
        make_engine(model, "onnxruntime")


def test_what_does_not_exist_is_named(monkeypatch) -> None:
    with pytest.raises(EngineError, match="'auto', 'eager'"):
        sw.load("mini", engine="warp")
    with pytest.raises(EngineError, match="'fp32', 'bf16', 'int8'"):
        sw.load("mini", engine="packed", precision="fp4")
    with pytest.raises(EngineError, match="no int8"):
        sw.load("mini", engine="eager", precision="int8")
    with pytest.raises(ConfigError, match="threads"):
        sw.load("mini", threads=0)
    with pytest.raises(ConfigError, match="bidirectional"):
        make_engine(tiny_model(causal=False, lookahead_size=0), "packed")
    monkeypatch.setattr(available, "quantizes", lambda: False)
    with pytest.raises(EngineError, match="int8"):
        sw.load("mini", engine="packed", precision="int8")
