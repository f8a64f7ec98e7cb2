"""Exported graphs: every format computes what the model does, says what it is, and refuses what it cannot."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_wavlm import corpus
from streaming_wavlm.errors import (
    ConfigError,
    ExportError,
    ExportMismatchError,
    InputError,
    StateMismatchError,
)
from streaming_wavlm.export import Tolerance, check, checking, export, open_exported
from streaming_wavlm.export.metadata import KEY
from streaming_wavlm.export.signature import input_names
from tiny import tiny_model

CASES = [
    ("onnx", "fp32", 3),
    ("onnx", "int8", 1),
    ("openvino", "fp32", None),
    ("openvino", "bf16", 2),
    ("openvino", "int8", 1),
    ("torch", "fp32", None),
    ("torch", "bf16", 1),
]
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino", "nncf"), "torch": ()}


@pytest.fixture(scope="module")
def model():
    return tiny_model(dtype=torch.float32, chunk_ms=200)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return corpus.long_recording(3)  # 150 frames, a window is 32


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Export each case once."""
    made: dict[tuple[str, str, int | None], Path] = {}

    def get(case) -> Path:
        kind, precision, batch = case
        for library in NEEDS[kind]:
            pytest.importorskip(library)
        if case not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[case] = export(model, folder, format=kind, precision=precision, batch=batch)
        return made[case]

    return get


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_computes_what_the_model_does(case, exported, model, speech) -> None:
    errors = check(exported(case), model, speech)
    assert [error.layer for error in errors] == [0, 1]
    limit = {"fp32": 1e-5, "bf16": 0.03, "int8": 0.04}[case[1]]
    assert max(error.relative_error for error in errors) < limit


def test_convolutions_that_remember_nothing_stay_inside(speech, tmp_path) -> None:
    pytest.importorskip("openvino")
    model = tiny_model(dtype=torch.float32, chunk_ms=200, front_pad="kernel-stride", conv_pos=1, num_layers=1)
    path = export(model, tmp_path, format="openvino")
    assert "conv.4" in input_names(model.config)
    assert not {"conv.5", "conv.6", "pos_conv"} & set(input_names(model.config))
    assert check(path, model, speech)[0].relative_error < 1e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_says_what_it_is(case, exported, model) -> None:
    metadata = open_exported(exported(case), batch=1).metadata
    assert metadata.config == model.config
    assert (metadata.precision, metadata.batch) == case[1:]
    block = json.loads(metadata.to_json())
    assert block["chunk_ms"] == 200
    assert block["fingerprint"] == model.config.fingerprint()
    assert block["algorithmic_latency_ms"] == model.config.latency.algorithmic_ms


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[5]], ids=str)
def test_the_check_catches_other_weights(case, exported, speech) -> None:
    other = tiny_model(seed=1, dtype=torch.float32, chunk_ms=200)
    with pytest.raises(ExportMismatchError, match=r"layer 0: .*use a higher precision"):
        check(exported(case), other, speech)


def test_the_check_catches_what_is_only_slightly_off(exported, model, speech) -> None:
    with pytest.raises(ExportMismatchError):
        check(exported(("torch", "bf16", 1)), model, speech, tolerance=Tolerance(1e-4, 0.999999))


def test_the_check_catches_one_forgotten_tensor(exported, model, speech, monkeypatch) -> None:
    """A window that does not move on, and a tail whose padding is seen."""
    path, sound = exported(("torch", "fp32", None)), checking.advance

    def stuck(step, samples, frames, state):
        hidden, after = sound(step, samples, frames, state)
        return hidden, dataclasses.replace(after, keys=state.keys)

    def padding_seen(step, samples, frames, state):
        return sound(step, samples, torch.full_like(frames, 10), state)

    for broken in (stuck, padding_seen):
        monkeypatch.setattr(checking, "advance", broken)
        with pytest.raises(ExportMismatchError):
            check(path, model, speech)


def test_the_check_refuses_another_config_and_too_little_audio(exported, model, speech) -> None:
    path = exported(("torch", "fp32", None))
    with pytest.raises(StateMismatchError):
        check(path, model.with_chunk(400), speech)
    with pytest.raises(InputError, match="at least 4 chunks"):
        check(path, model, speech[:6000])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "tflite"}, "no format 'tflite'; there are 'onnx', 'openvino', 'torch'"),
        ({"format": "onnx", "precision": "bf16"}, "no precision 'bf16': ONNX Runtime .*'fp32', 'int8'"),
        ({"format": "torch", "precision": "int8"}, "no precision 'int8': .* it has 'fp32', 'bf16'"),
        ({"format": "openvino", "precision": "fp16"}, "openvino has no precision 'fp16'; it has"),
        ({"format": "torch", "batch": 0}, "batch must be a number of streams from 1"),
        ({"format": "torch", "out": "step.onnx"}, "a file of this format ends in .pt2, got step.onnx"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changes, message, model, tmp_path) -> None:
    out = tmp_path / changes.pop("out", "new")
    with pytest.raises(ExportError, match=message):
        export(model, out, **changes)
    assert list(tmp_path.iterdir()) == []


def test_models_that_have_no_step_are_refused(model, tmp_path) -> None:
    with pytest.raises(ExportError, match=r"float32 on the CPU, got torch.float64"):
        export(tiny_model(), tmp_path, format="torch")
    offline = tiny_model(dtype=torch.float32, causal=False, front_pad="valid")
    with pytest.raises(ConfigError, match="no step to export"):
        export(offline, tmp_path, format="torch")


@pytest.mark.parametrize("part", ["", "encoder"])
def test_a_model_that_would_apply_dropout_is_refused(part, tmp_path) -> None:
    model = tiny_model(dtype=torch.float32, dropout=0.1)
    model.get_submodule(part).train()
    with pytest.raises(InputError, match=r"dropout; call model.eval\(\) first"):
        export(model, tmp_path / "step.pt2", format="torch")
    assert list(tmp_path.iterdir()) == []


def test_files_are_not_replaced_unless_asked(exported, model) -> None:
    path = exported(("torch", "fp32", None))
    with pytest.raises(ExportError, match="exists"):
        export(model, path, format="torch", batch=None)
    assert export(model, path, format="torch", batch=None, overwrite=True) == path
    assert [file.name for file in path.parent.iterdir()] == ["step.pt2"]


def test_only_known_options_reach_openvino(exported, tmp_path) -> None:
    """An option of its own, such as the cache's folder, could write anywhere."""
    source = exported(("openvino", "fp32", None))
    path, cache = tmp_path / "step.xml", tmp_path / "cache"
    text = source.read_text(encoding="utf-8")
    changed = re.sub(r"INFERENCE_PRECISION_HINT(.{1,20}?)f32", rf"CACHE_DIR\1{cache.as_posix()}", text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    path.with_suffix(".bin").write_bytes(source.with_suffix(".bin").read_bytes())
    assert "CACHE_DIR" in open_exported(path).metadata.compile
    assert not cache.exists()


def test_weights_beside_a_graph_are_not_replaced_unless_asked(model, tmp_path) -> None:
    pytest.importorskip("openvino")
    other = tmp_path / "pytorch_model.bin"
    other.write_bytes(b"of another model")
    with pytest.raises(ExportError, match=r"pytorch_model\.bin exists"):
        export(model, tmp_path / "pytorch_model.xml", format="openvino")
    assert other.read_bytes() == b"of another model"
    assert [file.name for file in tmp_path.iterdir()] == [other.name]


def test_files_that_are_no_export_are_refused(tmp_path) -> None:
    with pytest.raises(ExportError, match="there is no file"):
        open_exported(tmp_path / "nothing.onnx")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(ExportError, match=r"ends in .onnx, .xml, .pt2, got note.txt"):
        open_exported(tmp_path / "note.txt")
    for name in ("a.onnx", "a.xml", "a.pt2"):
        (tmp_path / name).write_bytes(b"not a graph")
        with pytest.raises(ExportError, match="cannot be read"):
            open_exported(tmp_path / name)
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "other.pt2")
    with pytest.raises(ExportError, match="no metadata block"):
        open_exported(tmp_path / "other.pt2")
    torch.export.save(program, tmp_path / "newer.pt2", extra_files={KEY: '{"format_version": 99}'})
    with pytest.raises(ExportError, match="format version 99"):
        open_exported(tmp_path / "newer.pt2")


def changed(source: Path, target: Path, **parts: object) -> Path:
    """A copy of an archive; ``change`` gets each part's name and contents, ``extra`` are parts more."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as after:
        for name in before.namelist():
            after.writestr(
                name, parts["change"](name, before.read(name)) if "change" in parts else before.read(name)
            )
        for name, contents in parts.get("extra", {}).items():
            after.writestr(name, contents)
    return target


class Evil:
    """Pickled, it asks for a folder to be made when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "ran"),)


def pickled(contents: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(contents, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_program_whose_inputs_would_run_code_is_refused(protocol, exported, tmp_path) -> None:
    evil = pickled(Evil(tmp_path), pickle_protocol=protocol)
    path = changed(
        exported(("torch", "bf16", 1)),
        tmp_path / "evil.pt2",
        change=lambda name, contents: evil if name.endswith("sample_inputs/model.pt") else contents,
    )
    with pytest.raises(ExportError, match=r"was not read: it has in .*model\.pt more than tensors"):
        open_exported(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"use_pickle": false', '"use_pickle": true', "a pickled tensor"),
        ('"path_name": "weight_0"', '"path_name": "custom_obj_0"', "a pickled constant"),
        ('"path_name": "weight_0"', '"path_name": "opaque_obj_0"', "a pickled constant"),
        ("torch.ops.aten.sigmoid.default", "torch.os.system", "the operator 'torch.os.system'"),
        ("torch.ops.aten.sigmoid.default", "_operator.methodcaller", "the operator"),
        ("L['position'].size()[0] ==", "__import__('os').system('true') ==", "the expression"),
        ("positive=True", "positive=exec(True)", "the expression"),
    ],
)
def test_a_program_that_names_code_is_refused(before, after, message, exported, tmp_path) -> None:
    def change(name: str, contents: bytes) -> bytes:
        return contents.replace(before.encode(), after.encode()) if name.endswith(".json") else contents

    source = exported(("torch", "fp32", None))
    path = changed(source, tmp_path / "evil.pt2", change=change)
    if path.read_bytes() == changed(source, tmp_path / "same.pt2").read_bytes():
        pytest.skip("this torch writes it in other words")
    with pytest.raises(ExportError, match=f"was not read: it has {message}"):
        open_exported(path)


@pytest.mark.parametrize(
    "name", ["archive/data/aotinductor/model/a.so", "archive/data/constants/model.pt", "archive/x.py"]
)
def test_a_program_with_parts_of_another_kind_is_refused(name, exported, tmp_path) -> None:
    path = changed(exported(("torch", "bf16", 1)), tmp_path / "evil.pt2", extra={name: b"x"})
    with pytest.raises(ExportError, match="was not read: it has the part"):
        open_exported(path)


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_program_is_a_named_error(place, exported, tmp_path) -> None:
    contents = bytearray(exported(("torch", "bf16", 1)).read_bytes())
    start = int(place * len(contents))
    contents[start : start + 64] = bytes(range(64))
    (tmp_path / "damaged.pt2").write_bytes(contents)
    with contextlib.suppress(ExportError):
        open_exported(tmp_path / "damaged.pt2")
    (tmp_path / "cut.pt2").write_bytes(contents[:start])
    with pytest.raises(ExportError, match="cannot be read"):
        open_exported(tmp_path / "cut.pt2")
