"""Files that are no checkpoint, are cut short, or would run code: each a named error that says what to do."""

from __future__ import annotations

import argparse
import gzip
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from streaming_wavlm.checkpoint import read_checkpoint
from streaming_wavlm.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    UnsafeCheckpointError,
)
from weights import random_weights

RAN = "ran-by-a-pickle"


class Evil:
    """Pickled, it asks for a file to be made when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / RAN),)


def refusal(path: Path, kind: type[Exception] = CheckpointCorruptError) -> str:
    with pytest.raises(kind) as caught:
        read_checkpoint(path)
    return str(caught.value)


def saved(path: Path, contents: object, **options: object) -> Path:
    torch.save(contents, path, **options)
    return path


# --- Not there, empty, something else.


def test_a_missing_file(tmp_path) -> None:
    assert "there is no file" in refusal(tmp_path / "weights.pt", CheckpointNotFoundError)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", ["is empty (0 bytes)", "again"]),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n",
            ["git-lfs pointer", "git lfs pull"],
        ),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", ["is a web page", "download"]),
        (b"<html>sign in</html>", ["is a web page"]),
        (b"Entry not found", ["is text", "'Entry not found'", "again"]),
        (b'{"num_layers": 12}', ["is text"]),
        (gzip.compress(b"x" * 100), ["archive", "unpack"]),
        (bytes(1000), ["in no format that is read here", "expected safetensors or a file of torch.save"]),
        (b"\x7fELF" + bytes(100), ["in no format"]),
        (b"\x80", ["in no format"]),
    ],
)
def test_a_file_that_is_something_else(tmp_path, contents, words) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(contents)
    message = refusal(path)
    assert all(word in message for word in [str(path), *words]), message


def test_a_folder_without_weights_tells_what_it_has(tmp_path) -> None:
    assert "it has nothing" in refusal(tmp_path, CheckpointNotFoundError)
    (tmp_path / "config.json").write_text("{}")
    saved(tmp_path / "step-100.pt", {})
    message = refusal(tmp_path, CheckpointNotFoundError)
    assert "has no model.safetensors; it has config.json, step-100.pt" in message
    assert "to load step-100.pt, give its own path" in message


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "cannot be read: Permission denied" in refusal(tmp_path, CheckpointError)


# --- Cut short or damaged.


@pytest.mark.parametrize("kept", [9, 200, -1000, -1])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_pickle(tmp_path, kept, legacy) -> None:
    path = saved(tmp_path / "weights.pt", random_weights(), _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(path)
    assert "cut short or damaged" in message
    assert f"({path.stat().st_size} bytes)" in message


@pytest.mark.parametrize("kept", [9, 200, -1000, -1])
def test_a_truncated_safetensors_file(tmp_path, kept) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(random_weights(), path)
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(path)
    assert "cut short" in message
    assert str(path.stat().st_size) in message


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 10**12, 5000])
def test_a_header_length_is_not_believed(tmp_path, length) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    assert f"claims a header of {length} bytes, but the file has only {path.stat().st_size}" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": 1}',
        b"{not json at all}",
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,999999999999]}}',
        b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":["x",{}]}}',
        b'{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
    ],
)
def test_a_bogus_header(tmp_path, header) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    assert str(path) in refusal(path)


def test_a_zip_archive_of_something_else(tmp_path) -> None:
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    assert "not one of torch.save: it has no data.pkl" in refusal(path)


def test_a_compressed_archive_is_not_inflated(tmp_path) -> None:
    saved(tmp_path / "a.pt", random_weights())
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as archive,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name))
        bomb.writestr("a/data/999", bytes(1_000_000))
    assert "compressed" in refusal(tmp_path / "bomb.pt")


SOMEWHERE = st.floats(0, 1, exclude_max=True)


@settings(max_examples=150)
@given(
    kind=st.sampled_from(["zip", "legacy", "safetensors"]),
    changes=st.lists(st.tuples(SOMEWHERE, st.integers(0, 255)), min_size=1, max_size=4),
    kept=SOMEWHERE | st.just(1.0),
)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path_factory, kind, changes, kept) -> None:
    """Whatever bytes are changed: a named error, or tensors. Never a crash, never another exception."""
    path = tmp_path_factory.mktemp("damaged") / "weights"
    tensors = {"encoder.layers.0.a": torch.arange(12.0), "b": torch.zeros(2, 3)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        saved(path, {"state_dict": tensors, "step": 3}, _use_new_zipfile_serialization=kind == "zip")
    contents = bytearray(path.read_bytes())
    for place, value in changes:
        contents[int(place * len(contents))] = value
    path.write_bytes(contents[: int(kept * len(contents))])
    message = ""
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        message = str(error)
    assert not message or str(path) in message


def test_a_tensor_that_repeats_one_number_is_not_grown(tmp_path) -> None:
    weights = random_weights()
    weights["encoder.layers.0.feed_forward.in_proj.weight"] = torch.zeros(1).expand(10**14, 16)
    path = saved(tmp_path / "weights.pt", weights)
    message = refusal(path)
    assert "in_proj.weight [100000000000000, 16] claims 6400000000000000 bytes, and 4 are there" in message
    # A pair that is multiplied out would grow even before the architecture is looked at.
    pair = {"a.weight_g": torch.ones(1), "a.weight_v": torch.zeros(1).expand(10**14)}
    assert "a.weight_v" in refusal(saved(path, {"model": pair}))


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_that_share_their_numbers_are_not_multiplied(tmp_path, legacy) -> None:
    one = torch.zeros(50_000)
    shared = {f"encoder.layers.{layer}.attention_norm.weight": one for layer in range(100)}
    path = saved(tmp_path / "weights.pt", shared, _use_new_zipfile_serialization=not legacy)
    assert f"claim 20000000 bytes together, and the file has {path.stat().st_size}" in refusal(path)


# --- Pickles that would run code.


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_would_run_code_names_it_and_runs_nothing(tmp_path, protocol, legacy) -> None:
    path = tmp_path / "weights.pt"
    contents = {"student_state_dict": random_weights(), "extra": Evil(tmp_path)}
    saved(path, contents, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    message = refusal(path, UnsafeCheckpointError)
    assert "was not read" in message
    assert "posix.mkdir" in message or "nt.mkdir" in message
    assert "torch.save(model.state_dict(), path)" in message
    assert not (tmp_path / RAN).exists()


def test_a_bare_pickle_that_would_run_code(tmp_path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Evil(tmp_path)))
    assert "mkdir" in refusal(path, UnsafeCheckpointError)
    assert not (tmp_path / RAN).exists()


def test_a_pickle_in_text_form_runs_nothing(tmp_path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Evil(tmp_path), protocol=0))
    assert str(path) in refusal(path, CheckpointError)
    assert not (tmp_path / RAN).exists()


def test_a_pickled_module_is_refused_with_what_to_save_instead(tmp_path) -> None:
    path = saved(tmp_path / "weights.pt", torch.nn.Linear(2, 2))
    message = refusal(path, UnsafeCheckpointError)
    assert "torch.nn.modules.linear.Linear" in message
    assert "state_dict()" in message


def test_a_torchscript_archive_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        for name in ("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"):
            archive.writestr(name, "")
    assert "TorchScript archive" in refusal(tmp_path / "m.pt", UnsafeCheckpointError)


def test_plain_containers_and_namespaces_beside_the_weights_are_read(tmp_path) -> None:
    contents = {
        "student_state_dict": OrderedDict(random_weights()),
        "args": argparse.Namespace(lr=1e-4, name="run"),
        "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict(),
        "step": 7,
    }
    for legacy in (False, True):
        path = saved(tmp_path / "weights.pt", contents, _use_new_zipfile_serialization=not legacy)
        assert set(read_checkpoint(path).tensors) == set(random_weights())
    others = [allowed for allowed in torch.serialization.get_safe_globals() if allowed is argparse.Namespace]
    if not others:
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=True)  # the allowance ends with the reading
    with torch.serialization.safe_globals([argparse.Namespace]):
        read_checkpoint(path)
        torch.load(path, weights_only=True)  # somebody else's does not


# --- No state dict inside.


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([torch.zeros(1)], ["holds a list", "expected a state dict", "student_state_dict"]),
        (torch.zeros(3), ["holds a Tensor"]),
        ({"epoch": 3, "loss": 0.5}, ["holds no tensors, only epoch, loss"]),
        ({"student_state_dict": {}}, ["[student_state_dict] holds no tensors"]),
        ({}, ["holds no tensors, only nothing"]),
    ],
)
def test_a_pickle_without_a_state_dict(tmp_path, contents, words) -> None:
    message = refusal(saved(tmp_path / "weights.pt", contents), CheckpointMismatchError)
    assert all(word in message for word in words), message
