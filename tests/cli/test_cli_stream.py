"""``stream`` as a command: its outputs, its end, and what it says when something is wrong."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console
from safetensors import safe_open

from live import live, one_pass, speech
from streaming_wavlm.audio import read_audio
from streaming_wavlm.cli import main
from streaming_wavlm.cli.stream_colours import RunningComponents
from streaming_wavlm.cli.stream_display import Display, meter, strip
from streaming_wavlm.cli.stream_features import Chunk, LocalModel
from streaming_wavlm.cli.stream_statistics import Statistics
from streaming_wavlm.model import StreamingWavLM
from tiny import tiny_model

CHUNK = 80
SEED = 3


@pytest.fixture(scope="module")
def model():
    return tiny_model(SEED, dtype=torch.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch, model) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMING_WAVLM_TOKEN", raising=False)
    model.save_pretrained(tmp_path / "checkpoint")
    soundfile.write("a.wav", speech(1.23), 16_000)
    return tmp_path


def stream(*options: str) -> int:
    return main(["stream", *options, "-k", "checkpoint", "--chunk-ms", str(CHUNK), "--device", "cpu"])


def written(path: str) -> np.ndarray:
    with safe_open(path, "numpy") as file:
        return file.get_tensor("hidden_states")


def standard_input(monkeypatch, data: bytes) -> None:
    """Let descriptor 0 hold data."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)

    def write() -> None:
        os.write(writing, data)
        os.close(writing)

    threading.Thread(target=write).start()
    os.close(reading)
    monkeypatch.callback = lambda: (os.dup2(before, 0), os.close(before))


@pytest.mark.parametrize("realtime", [[], ["--realtime"]])
def test_the_features_of_a_file_are_those_of_one_pass(here, model, realtime, capsys) -> None:
    assert stream("a.wav", "--out", "deep/f.safetensors", "--layers", "all", *realtime) == 0
    expected = one_pass(model, read_audio("a.wav"), CHUNK)
    np.testing.assert_allclose(written("deep/f.safetensors"), expected, atol=1e-5)
    said = capsys.readouterr()
    assert said.out == ""
    assert "1.23 s of audio, 62 frames; latency p50" in said.err
    assert "no drops; written to deep/f.safetensors" in said.err
    assert [path.name for path in Path("deep").iterdir()] == ["f.safetensors"]


def test_lines_of_json_tell_each_chunk(here, model, capsys) -> None:
    assert stream("a.wav", "--jsonl", "--pool", "--layers=-1,0") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["position"] for line in lines] == list(range(0, 62, 4))
    assert [line["frames"] for line in lines] == [4] * 15 + [2]
    assert lines[1]["seconds"] == 0.16
    assert all(line["latency_ms"] > 0 and line["dropped_seconds"] == 0 for line in lines)
    expected = one_pass(model, read_audio("a.wav"), CHUNK)[::-1, 4:8].mean(axis=1)
    np.testing.assert_allclose(lines[1]["pooled"], expected, atol=1e-4)


def test_a_pipe_in_odd_pieces_gives_the_features_of_one_pass(here, model, monkeypatch) -> None:
    pcm = np.round(32767 * np.clip(speech(0.6), -1, 1)).astype("<i2")
    monkeypatch.setattr("streaming_wavlm.sources.pipe._READ_BYTES", 777)
    standard_input(monkeypatch, pcm.tobytes())
    try:
        assert stream("-", "--out", "f.npy", "--layers", "all") == 0
    finally:
        monkeypatch.callback()
    expected = one_pass(model, pcm / np.float32(32768), CHUNK)
    np.testing.assert_allclose(np.load("f.npy"), expected, atol=1e-5)


def test_a_slow_model_loses_live_audio_and_counts_it(here, monkeypatch, capsys) -> None:
    step = StreamingWavLM.step

    def slow(*arguments, **options):
        time.sleep(0.2)
        return step(*arguments, **options)

    monkeypatch.setattr(StreamingWavLM, "step", slow)
    assert stream("a.wav", "--realtime", "--queue-seconds", "0.1", "--jsonl") == 0
    said = capsys.readouterr()
    lost = json.loads(said.out.splitlines()[-1])["dropped_seconds"]
    assert lost > 0.2
    assert f" drops ({lost:.2f} s)" in said.err


def test_a_server_gives_the_same_features(here, model) -> None:
    with live(model, chunks=(CHUNK,)) as server:
        options = ["--server", server.url, "--layers", "0,1", "--out", "f.safetensors"]
        assert main(["stream", "a.wav", *options]) == 0
        server.wait(lambda service: service.connections == 0)
    np.testing.assert_allclose(
        written("f.safetensors"), one_pass(model, read_audio("a.wav"), CHUNK), atol=1e-5
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_it_is_stopped_what_was_heard_is_computed_and_written(here, model, number) -> None:
    options = ["-k", "checkpoint", "--chunk-ms", str(CHUNK), "--layers", "all", "--device", "cpu", "--jsonl"]
    with subprocess.Popen(
        [sys.executable, "-m", "streaming_wavlm", "stream", "-", "--out", "f.safetensors", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        pcm = np.round(32767 * np.clip(speech(0.5), -1, 1)).astype("<i2")
        process.stdin.write(pcm.tobytes())
        process.stdin.flush()
        for _ in range(6):
            process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"0.50 s of audio, 25 frames" in said
    assert b"Traceback" not in said
    expected = one_pass(model, pcm / np.float32(32768), CHUNK)
    np.testing.assert_allclose(written("f.safetensors"), expected, atol=1e-5)


def test_what_was_computed_before_the_audio_broke_is_kept(here, capsys) -> None:
    wave = speech(1.0)
    wave[-100] = np.nan
    soundfile.write("nan.wav", wave, 16_000, subtype="FLOAT")
    assert stream("nan.wav", "--out", "f.safetensors") == 2
    assert "holds NaN" in capsys.readouterr().err
    assert written("f.safetensors").shape == (1, 25, 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nothing.wav"], "nothing.wav does not exist"),
        (["a.wav", "--out", "f.txt"], "ending in .safetensors or .npy"),
        (["a.wav", "--out", "checkpoint"], "is a folder"),
        (["a.wav", "--layers", "x"], "--layers is all, or numbers"),
        (["a.wav", "--layers", "9"], "layer 9 does not exist"),
        (["a.wav", "--pool"], "--pool adds to the lines of --jsonl"),
        (["a.wav", "--queue-seconds", "0"], "must have room"),
        (["a.wav", "--token-file", "none"], "the token cannot be read"),
        (["mic:x"], "microphone"),
    ],
)
def test_what_cannot_be_is_one_line(here, options, words, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert stream(*options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_server_that_is_not_there_is_one_line(here, capsys) -> None:
    assert main(["stream", "a.wav", "--server", "http://127.0.0.1:9"]) == 2
    assert "no stream could be opened at ws://127.0.0.1:9/v1/stream" in capsys.readouterr().err
    assert main(["stream", "a.wav", "--server", "http://127.0.0.1:9", "--layers", "all"]) == 2
    assert "by their numbers" in capsys.readouterr().err


def test_big_packets_are_told_chunk_by_chunk(model) -> None:
    computer = LocalModel(model.with_chunk(20), 16_000, [1])
    chunks = [*computer.push(speech(1.0), None), *itertools.chain(*computer.finish())]
    assert [chunk.position for chunk in chunks] == list(range(50))


def test_components_find_the_directions_that_vary() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((64, 64)))[0][:3]
    frames = rng.standard_normal((600, 3)) * [9, 6, 3] @ axes + 0.1 * rng.standard_normal((600, 64)) + 5
    components = RunningComponents()
    colours = np.concatenate([components.colours(part) for part in np.split(frames, 60)])
    assert colours.shape == (600, 3)
    assert np.all(np.abs(np.sum(components._axes[:3] * axes, axis=1)) > 0.99)
    late = colours[300:].astype(float)
    assert np.all(late.std(axis=0) > 40)  # each colour is used
    assert np.all(np.abs(np.corrcoef(late.T) - np.eye(3)) < 0.3)


def test_components_take_silence_and_single_frames() -> None:
    components = RunningComponents()
    assert components.colours(np.zeros((1, 16))).tolist() == [[128, 128, 128]]
    assert np.isfinite(components.colours(np.zeros((4, 16)))).all()
    assert components.colours(np.eye(16)[:1]).shape == (1, 3)


def test_the_display_shows_level_latency_drops_and_colours() -> None:
    told = Statistics(16_000)
    told.hear(np.full(16_000, 0.1, np.float32))
    told.chunk(50, 0.033)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=100)
    with Display(console, "a microphone", told) as display:
        display.chunk(Chunk(np.random.default_rng(0).standard_normal((1, 50, 16)), 0, 1.0, 0.033))
        display.update(busy=0.5, drops=3, dropped_seconds=0.25, now=True)
    shown = console.file.getvalue()
    for words in ("a microphone", "-20 dB", "p50 33 ms", "0.500", "3 (0.2 s)", "0:01.0", "▌"):
        assert words in shown
    assert meter(-80, -80).plain == "│" + 39 * "·"
    assert meter(0, 0).plain == 40 * "█"
    assert strip([(1, 2, 3)], 5).plain == "\n".join(3 * [5 * "▌"])


def test_it_is_shown_on_a_terminal_only(here, monkeypatch) -> None:
    from streaming_wavlm.cli import stream as command

    asked = []
    monkeypatch.setattr(command, "_display", lambda *_: asked.append(1))
    assert stream("a.wav") == 0
    assert not asked
    monkeypatch.setattr(command.sys, "stderr", SimpleNamespace(isatty=lambda: True, write=lambda _: None))
    assert stream("a.wav", "--no-display") == 0
    assert not asked
    assert stream("a.wav") == 0
    assert asked
