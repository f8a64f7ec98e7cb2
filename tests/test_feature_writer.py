"""Feature files: what other readers get from them, and that a half-written one is never seen."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from streaming_wavlm import feature_writer
from streaming_wavlm.errors import InputError, OutputError
from streaming_wavlm.feature_writer import FeatureWriter
from tiny import noise

SHAPE = (3, 5)


def write(path: Path, kind: Any, dtype: torch.dtype, pieces: list[torch.Tensor]) -> int:
    with FeatureWriter(path, kind, SHAPE, dtype, {"note": "é"}) as writer:
        for piece in pieces:
            writer.append(piece)
        assert writer.frames == sum(piece.shape[1] for piece in pieces)
        return writer.commit()


@pytest.mark.parametrize("memory", [0, 2**20])
@pytest.mark.parametrize("frames", [[], [0], [7], [1, 0, 4, 2]])
@pytest.mark.parametrize("kind", ["safetensors", "npy"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_pieces_become_one_array(
    dtype: torch.dtype,
    kind: str,
    frames: list[int],
    memory: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "npy" and dtype == torch.bfloat16:
        pytest.skip("numpy has no bfloat16")
    monkeypatch.setattr(
        feature_writer, "_MEMORY_BYTES", memory + 3
    )  # 1 byte per layer: everything goes to disk
    pieces = [noise(3, count, 5, seed=seed) for seed, count in enumerate(frames)]
    path = tmp_path / "new" / f"a.{kind}"
    assert write(path, kind, dtype, pieces) == path.stat().st_size
    expected = torch.cat([torch.zeros(3, 0, 5, dtype=torch.float64), *pieces], dim=1).to(dtype)
    if kind == "npy":
        found = torch.from_numpy(np.load(path))
    else:
        with safe_open(path, "pt") as file:
            assert file.metadata() == {"note": "é"}
            found = file.get_tensor("hidden_states")
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_name_that_is_not_utf8_leaves_the_header_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with FeatureWriter(path, "safetensors", SHAPE, torch.float32, {"source": "caf\udce9.wav"}) as writer:
        writer.commit()
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"source": "caf\\udce9.wav"}


def test_two_runs_that_write_one_file_leave_each_other_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    pieces = [noise(3, 4, 5), noise(3, 2, 5, seed=1)]
    with FeatureWriter(path, "npy", SHAPE, torch.float64) as first:
        with FeatureWriter(path, "npy", SHAPE, torch.float64) as second:
            first.append(pieces[0])
            second.append(pieces[1])
            assert first._partial != second._partial
            second.commit()
            assert np.load(path).shape == (3, 2, 5)
        first.commit()
    np.testing.assert_array_equal(np.load(path), pieces[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]


def test_what_a_type_cannot_hold_is_not_stored_as_infinity(tmp_path: Path) -> None:
    features = torch.full((3, 2, 5), 7e4)
    with (
        pytest.raises(
            OutputError, match=r"float16 holds numbers up to 65504, and a feature is 70000; store bf"
        ),
        FeatureWriter(tmp_path / "a.npy", "npy", SHAPE, torch.float16) as writer,
    ):
        writer.append(features)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.safetensors", "safetensors", torch.bfloat16, [features])


def test_leaving_without_commit_keeps_the_old_file_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write(path, "npy", torch.float32, [noise(3, 2, 5)])
    before = path.read_bytes()
    with FeatureWriter(path, "npy", SHAPE, torch.float32) as writer:
        writer.append(noise(3, 4, 5))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]


def test_a_full_disk_is_a_clear_error_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OutputError, match=r"disk is full.*MiB free.*again"):
        write(tmp_path / "a.npy", "npy", torch.float32, [noise(3, 2, 5)])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/a\.npy could not be written"):
        write(tmp_path / "file/a.npy", "npy", torch.float32, [])


@pytest.mark.parametrize(
    ("kind", "dtype", "message"),
    [
        ("pickle", torch.float32, "no file format 'pickle'"),
        ("npy", torch.bfloat16, "npy has no torch.bfloat16"),
        ("safetensors", torch.int8, "cannot be stored as torch.int8"),
    ],
)
def test_impossible_files_are_refused(kind: Any, dtype: torch.dtype, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        FeatureWriter(tmp_path / "a", kind, SHAPE, dtype)
