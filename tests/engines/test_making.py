"""Engines by name: the choice is measured once, and what cannot run says why."""

from __future__ import annotations

import json

import pytest
import torch

import streaming_wavlm as sw
from streaming_wavlm.engines import ENGINES, PackedModel, auto, available, choose, make_engine
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
        auto._name(model.config, "fp32"),
        auto._name(model.config, "bf16"),
        auto._name(model.config.replace(chunk_ms=200), "fp32"),
    }
    assert len(names) == 3


@pytest.mark.parametrize("damage", ["", "[1]", '{"x": 1}', "{"])
def test_a_damaged_memory_of_choices_is_measured_anew(damage) -> None:
    place = auto._cache_file()
    place.parent.mkdir(parents=True)
    place.write_text(damage)
    model = tiny_model(dtype=torch.float32)
    choice = choose(model, "fp32", make_engine)
    assert json.loads(place.read_text())[auto._name(model.config, "fp32")]["engine"] == choice.engine


def test_a_home_that_cannot_be_written_is_no_error(tmp_path, monkeypatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
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
