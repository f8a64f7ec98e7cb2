"""``streaming-wavlm compare`` on small models and synthetic voices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from lab import RATE, voice
from offline_models import import_transformers
from streaming_wavlm.cli import main
from streaming_wavlm.distill.compare_teacher import named_teacher
from streaming_wavlm.distill.teachers import LogMelTeacher, ReferenceTeacher, WaveformTeacher, WhisperTeacher
from streaming_wavlm.errors import UnknownKeyError
from teacher_models import saved, waveform_model, whisper_encoder
from tiny import tiny_model

import_transformers()  # before anything of it that would import torchaudio


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "voices").mkdir()
    for number in range(4):
        soundfile.write(tmp_path / "voices" / f"{number}.wav", voice(12_000, number), RATE)
    model = tiny_model(lookahead_size="chunk", chunk_ms=200)
    model.float().save_pretrained(tmp_path / "student")
    return tmp_path


def run(lab: Path, teacher: str, *options: str) -> int:
    sources = [str(lab / "voices")]
    return main(["compare", str(lab / "student"), teacher, *sources, "--no-progress", *options])


def test_numbers_and_a_picture_are_written(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lab, "self", "--chunk-ms", "100,whole", "--out", str(lab / "out")) == 0
    printed = capsys.readouterr().out
    assert "error (cosine) over 3 s of 4 recordings" in printed
    assert "0.000 (1.000)" in printed
    found = json.loads((lab / "out" / "compare.json").read_text())
    assert found["teacher"] == "self"
    assert found["pairs"] == [{"student": 1, "teacher": 1}, {"student": 2, "teacher": 2}]
    assert found["chunks"]["whole"]["error"] < 1e-5 < found["chunks"]["100"]["error"]
    assert [place["from"] for place in found["chunks"]["100"]["by_future_ms"]] == [0, 20, 40, 60, 80]
    assert (lab / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (lab / "out").iterdir()) == ["compare.json", "compare.png"]


def test_a_teacher_of_transformers_is_compared_behind_a_map(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = saved(whisper_encoder(d_model=12), lab / "whisper")
    assert run(lab, teacher, "--layers", "1:0,-1", "--seconds", "0.5", "--out", str(lab / "out")) == 0
    assert "behind linear maps fitted on others" in capsys.readouterr().out
    found = json.loads((lab / "out" / "compare.json").read_text())
    assert found["pairs"] == [{"student": 1, "teacher": 0}, {"student": 2, "teacher": 3}]
    assert (found["through"], found["recordings"], found["seconds"]) == ("map", 2, 1.0)


def test_teachers_are_found_by_what_their_folder_holds(lab: Path) -> None:
    wavlm = saved(waveform_model("WavLM"), lab / "wavlm", do_normalize=True)
    whisper = saved(whisper_encoder(), lab / "whisper")
    assert named_teacher("self") is None
    assert isinstance(named_teacher("logmel"), LogMelTeacher)
    assert isinstance(named_teacher(wavlm), WaveformTeacher)
    assert isinstance(named_teacher(wavlm, ["kind=reference"]), ReferenceTeacher)
    assert isinstance(named_teacher(whisper), WhisperTeacher)
    ours = named_teacher(str(lab / "student"))
    assert isinstance(ours, ReferenceTeacher)
    assert ours.chunk_ms == "whole"
    other = named_teacher(str(lab / "student"), ["chunk_ms=800", "layers=[2]"])
    assert isinstance(other, ReferenceTeacher)
    assert (other.chunk_ms, other.layers) == (800, (2,))
    with pytest.raises(UnknownKeyError, match="'normalise', which is no field; did you mean 'normalize'"):
        named_teacher(wavlm, ["normalise=true"])


@pytest.mark.parametrize(
    ("teacher", "options", "message"),
    [
        ("nowhere/at-all", [], "nowhere/at-all"),
        ("self", ["--chunk-ms", "210"], "chunk_ms must be a multiple of the hop"),
        ("self", ["--layers", "3"], "the student has layers 1 to 2, got 3"),
        ("logmel", ["--through", "direct"], "cannot be compared directly"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(
    lab: Path, teacher: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lab, teacher, *options) == 2
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert complaint.startswith("streaming-wavlm: ")
    assert message in complaint


def test_recordings_that_are_none_are_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "empty").mkdir()
    (lab / "broken.wav").write_bytes(b"RIFF")
    for source in ("empty", "broken.wav", "missing.wav"):
        assert main(["compare", str(lab / "student"), "self", str(lab / source)]) == 2
        assert source in capsys.readouterr().err


def test_what_cannot_be_read_is_left_out_counted_and_named(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "voices" / "broken.wav").write_bytes(b"RIFF")
    assert run(lab, "self", "--chunk-ms", "200", "--out", str(lab / "out")) == 0
    told = capsys.readouterr()
    assert "of 4 recordings; 1 could not be read" in " ".join(told.out.split())
    assert "not compared: " in told.err
    assert "broken.wav" in told.err
    (why,) = json.loads((lab / "out" / "compare.json").read_text())["unreadable"]
    assert "broken.wav" in why


def test_a_folder_that_cannot_be_written_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "file").write_text("in the way")
    assert run(lab, "self", "--chunk-ms", "200", "--out", str(lab / "file" / "out")) == 2
    assert "give another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--chunk-ms", "fast"], ["--layers", "1-2"], ["--seconds", "0"], ["--seconds", "nan"]]
)
def test_a_list_that_is_none_is_status_2(lab: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(lab, "self", *options)
    assert caught.value.code == 2
