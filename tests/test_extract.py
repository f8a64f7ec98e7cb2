"""Extraction: right numbers, streamed or not, resumed or not, and nothing mixed or lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open

from streaming_wavlm import extract as extract_module
from streaming_wavlm.audio import read_audio
from streaming_wavlm.errors import ConfigError, InputError, OutputError
from streaming_wavlm.extract import Progress, extract
from streaming_wavlm.feature_writer import FeatureWriter
from tiny import tiny_model

MODEL = tiny_model(dtype=torch.float32, chunk_ms=80)
RATES = {"a.wav": 16000, "b.flac": 44100, "deep/c.ogg": 8000}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, (name, rate) in enumerate(RATES.items()):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.uniform(-0.3, 0.3, int(rate * (0.5 + 0.31 * number))), rate)
    return tmp_path / "corpus"


def expected(path: Path, model: Any = MODEL) -> torch.Tensor:
    wav = torch.from_numpy(read_audio(path)).to(model.dtype)
    return torch.stack([layer[0] for layer in model(wav[None]).hidden_states]).detach()


def load(path: Path) -> torch.Tensor:
    if path.suffix == ".npy":
        return torch.from_numpy(np.load(path))
    with safe_open(path, "pt") as file:
        return file.get_tensor("hidden_states")


def files(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("file_format", ["safetensors", "npy"])
def test_every_recording_gives_the_features_of_one_pass(
    corpus: Path, tmp_path: Path, file_format: Any, stream: bool
) -> None:
    report = extract(MODEL, [corpus], tmp_path / "out", file_format=file_format, stream=stream)
    assert [path.relative_to(tmp_path).as_posix() for path in report.written] == [
        f"out/{name}.{file_format}" for name in ("a", "b", "deep/c")
    ]
    assert (report.skipped, report.failures) == (0, ())
    assert report.seconds == pytest.approx(0.5 + 0.81 + 1.12, abs=0.01)
    for path, name in zip(report.written, RATES, strict=True):
        torch.testing.assert_close(load(path), expected(corpus / name), atol=1e-4, rtol=0)


def test_layers_and_stored_type_can_be_chosen_and_the_file_says_so(corpus: Path, tmp_path: Path) -> None:
    source = corpus / "a.wav"
    report = extract(MODEL, [source], tmp_path / "out", layers=[-1], save_dtype=torch.float16)
    features = load(report.written[0])
    assert features.dtype == torch.float16
    torch.testing.assert_close(features.float(), expected(source)[1:], atol=1e-2, rtol=0)
    with safe_open(report.written[0], "pt") as file:
        metadata = file.metadata()
    assert metadata["layers"] == "[1]"
    assert json.loads(metadata["config"]) == MODEL.config.to_dict()
    assert metadata["source"] == str(source)
    assert len(metadata["weights"]) == 32


def test_a_second_run_skips_what_is_complete(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = extract(MODEL, [corpus / "a.wav", corpus / "b.flac"], out)
    stamps = [path.stat().st_mtime_ns for path in first.written]
    second = extract(MODEL, [corpus / "a.wav", corpus / "b.flac"], out, stream=True)
    assert (second.written, second.skipped) == ((), 2)
    assert [path.stat().st_mtime_ns for path in first.written] == stamps
    third = extract(MODEL, [corpus / "a.wav", corpus / "b.flac"], out, overwrite=True)
    assert (len(third.written), third.skipped) == (2, 0)


def test_a_changed_recording_and_a_damaged_result_are_computed_anew(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(MODEL, [corpus], out)
    soundfile.write(
        corpus / "a.wav", np.random.default_rng(9).uniform(-0.3, 0.3, 8000), 16000
    )  # the same size
    (out / "b.safetensors").write_bytes(b"cut")
    (out / "deep/c.safetensors").unlink()
    report = extract(MODEL, [corpus], out)
    assert len(report.written) == 3
    torch.testing.assert_close(load(out / "a.safetensors"), expected(corpus / "a.wav"), atol=1e-4, rtol=0)


OTHER_SETTINGS: dict[str, Any] = {
    "weights": {"model": tiny_model(seed=1, dtype=torch.float32, chunk_ms=80)},
    "chunk_ms": {"model": MODEL.with_chunk(200)},
    "compute": {"model": tiny_model(dtype=torch.float64, chunk_ms=80), "save_dtype": torch.float32},
    "layers": {"layers": [0]},
    "stored": {"save_dtype": torch.float16},
    "file_format": {"file_format": "npy"},
}


@pytest.mark.parametrize("what", OTHER_SETTINGS)
def test_features_with_other_settings_are_never_reused(what: str, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(MODEL, [corpus], out)
    before = {name: (out / name).read_bytes() for name in files(out)}
    options = {"model": MODEL, **OTHER_SETTINGS[what]}
    with pytest.raises(ConfigError, match=rf"other settings: .*{what} .* there"):
        extract(sources=[corpus], out=out, **options)
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    if what != "file_format":
        with pytest.raises(ConfigError, match="2 of them are no part of this run"):
            extract(sources=[corpus / "a.wav"], out=out, overwrite=True, **options)
        assert len(extract(sources=[corpus], out=out, overwrite=True, **options).written) == 3
        assert extract(sources=[corpus], out=out, **options).skipped == 3


def test_a_file_that_is_not_ours_is_not_replaced(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.safetensors").write_text("precious")
    with pytest.raises(ConfigError, match=r"b\.safetensors exists"):
        extract(MODEL, [corpus], out)
    assert files(out) == ["b.safetensors"]
    extract(MODEL, [corpus], out, overwrite=True)
    assert load(out / "b.safetensors").shape[0] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_unreadable_recordings_are_listed_and_the_others_done(
    corpus: Path, tmp_path: Path, stream: bool
) -> None:
    (corpus / "broken.wav").write_text("no audio at all")
    cut = corpus / "cut.flac"
    soundfile.write(cut, np.random.default_rng(0).uniform(-1, 1, 60_000), 16000)
    cut.write_bytes(cut.read_bytes()[:80_000])
    (tmp_path / "empty").mkdir()
    missing = corpus / "missing.wav"
    out = tmp_path / "out"
    report = extract(MODEL, [corpus, missing, tmp_path / "empty"], out, stream=stream)
    assert {failure.path.name for failure in report.failures} == {
        "broken.wav",
        "cut.flac",
        "missing.wav",
        "empty",
    }
    assert all(str(failure.path) in failure.reason for failure in report.failures)
    assert len(report.written) == 3
    features = {f"corpus/{name}.safetensors" for name in ("a", "b", "deep/c")}
    assert set(files(out)) == features | {"extract.json", "extract.jsonl"}
    soundfile.write(corpus / "broken.wav", np.zeros(8000), 16000)
    again = extract(MODEL, [corpus, missing, tmp_path / "empty"], out, stream=stream)
    assert ([path.stem for path in again.written], again.skipped, len(again.failures)) == (["broken"], 3, 3)


def test_a_second_folder_does_not_take_the_place_of_the_first(corpus: Path, tmp_path: Path) -> None:
    out, second = tmp_path / "out", tmp_path / "second"
    extract(MODEL, [corpus], out)
    before = (out / "a.safetensors").read_bytes()
    second.mkdir()
    soundfile.write(second / "a.wav", np.zeros(8000), 16000)
    with pytest.raises(ConfigError, match=r"features of .*corpus/a\.wav, and those of .*second/a\.wav"):
        extract(MODEL, [second], out)
    assert (out / "a.safetensors").read_bytes() == before
    assert len(extract(MODEL, [second], out, overwrite=True).written) == 1


def test_the_output_folder_may_begin_with_a_tilde(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    extract(MODEL, [corpus / "a.wav"], "~/features")
    assert (tmp_path / "home/features/a.safetensors").exists()
    assert not (tmp_path / "~").exists()


def test_recordings_that_were_moved_or_linked_are_the_same(corpus: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    extract(MODEL, [corpus], out)
    (tmp_path / "link").symlink_to(corpus)
    extract(MODEL, [tmp_path / "link"], out)
    corpus.rename(moved)
    extract(MODEL, [moved], out)


def test_a_name_that_is_not_utf8_fails_alone(corpus: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(corpus) + b"/caf\xe9.wav"))
    try:
        odd.write_bytes((corpus / "a.wav").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    report = extract(MODEL, [corpus], tmp_path / "out")
    assert [failure.path for failure in report.failures] == [odd]
    assert "caf\\xe9.wav is not UTF-8" in report.failures[0].reason
    report.failures[0].reason.encode()
    assert len(report.written) == 3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_recording_that_does_not_fit_into_memory_fails_alone(
    error: Exception, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> np.ndarray:
        if path.stem == "a":
            raise error
        return read_audio(path)

    monkeypatch.setattr(extract_module, "read_audio", read)
    report = extract(MODEL, [corpus], tmp_path / "out")
    assert [failure.path.stem for failure in report.failures] == ["a"]
    assert "--stream" in report.failures[0].reason
    assert len(report.written) == 2


def test_another_error_of_the_model_is_not_hidden(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Path) -> np.ndarray:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(extract_module, "read_audio", read)
    with pytest.raises(RuntimeError, match="a mistake"):
        extract(MODEL, [corpus], tmp_path / "out")


@pytest.mark.parametrize("torn", [False, True])
def test_a_run_that_dies_is_taken_up_where_it_stopped(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    out, commits = tmp_path / "out", []

    def dies(writer: FeatureWriter) -> int:
        if commits:
            raise KeyboardInterrupt
        commits.append(1)
        return original(writer)

    original = FeatureWriter.commit
    monkeypatch.setattr(FeatureWriter, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        extract(MODEL, [corpus], out)
    monkeypatch.undo()
    assert files(out) == ["a.safetensors", "extract.json", "extract.jsonl"]
    if torn:
        with (out / "extract.jsonl").open("ab") as file:
            file.write(b'{"output": "b.safeten')
    report = extract(MODEL, [corpus], out)
    assert (len(report.written), report.skipped) == (2, 1)
    assert extract(MODEL, [corpus], out).skipped == 3


def test_features_without_a_line_in_the_journal_do_not_count(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    extract(MODEL, [corpus], out)
    (out / "extract.jsonl").unlink()
    assert len(extract(MODEL, [corpus], out).written) == 3


def test_a_full_disk_stops_the_run_and_loses_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, commits = tmp_path / "out", []

    def full(writer: FeatureWriter) -> int:
        if commits:
            raise OutputError("the disk is full")
        commits.append(1)
        return original(writer)

    original = FeatureWriter.commit
    monkeypatch.setattr(FeatureWriter, "commit", full)
    with pytest.raises(OutputError, match="full"):
        extract(MODEL, [corpus], out)
    monkeypatch.undo()
    assert extract(MODEL, [corpus], out).skipped == 1


def test_streaming_reads_and_computes_in_bounded_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 70 * 16000), 16000)
    pieces: list[int] = []
    original = FeatureWriter.append

    def spy(writer: FeatureWriter, features: torch.Tensor) -> None:
        pieces.append(features.shape[1])
        original(writer, features)

    monkeypatch.setattr(FeatureWriter, "append", spy)
    monkeypatch.setattr(extract_module, "read_audio", None)
    model = MODEL.with_chunk(1000)
    extract(model, [path], tmp_path / "out", stream=True)
    assert sum(pieces) == 70 * 50
    assert max(pieces) <= 500
    torch.testing.assert_close(
        load(tmp_path / "out/long.safetensors"), expected(path, model), atol=1e-4, rtol=0
    )


def test_progress_tells_files_and_seconds(corpus: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    extract(MODEL, [corpus], tmp_path / "out", on_progress=seen.append)
    assert [item.files for item in seen if item.files] == [1, 1, 2, 2, 3]
    assert {item.total for item in seen} == {3}
    assert [item.seconds for item in seen] == sorted(item.seconds for item in seen)


def test_the_bidirectional_reference_extracts_but_does_not_stream(corpus: Path, tmp_path: Path) -> None:
    model = tiny_model(dtype=torch.float32, causal=False, front_pad="valid")
    report = extract(model, [corpus / "a.wav"], tmp_path / "out")
    torch.testing.assert_close(load(report.written[0]), expected(corpus / "a.wav", model))
    with pytest.raises(ConfigError, match="cannot stream"):
        extract(model, [corpus / "a.wav"], tmp_path / "out2", stream=True)


def test_nothing_to_extract_is_an_error(tmp_path: Path) -> None:
    for sources in ([], [tmp_path]):
        with pytest.raises(InputError, match="nothing to extract"):
            extract(MODEL, sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_would_apply_dropout_is_refused(corpus: Path, tmp_path: Path, stream: bool) -> None:
    model = tiny_model(dropout=0.1)
    for training in (model, model.with_chunk(200)):  # which shares its parts
        training.train()
        with pytest.raises(InputError, match="eval"):
            extract(model, [corpus / "a.wav"], tmp_path / "out", stream=stream)
        training.eval()
    assert not (tmp_path / "out").exists()
    assert extract(model, [corpus / "a.wav"], tmp_path / "out", stream=stream).written
