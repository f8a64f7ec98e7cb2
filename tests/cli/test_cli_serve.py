"""``serve`` as a command: a process that listens, serves, drains and ends well."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from live import joined, one_pass, speech
from streaming_wavlm.cli import main
from streaming_wavlm.cli.serve import LIMITS
from streaming_wavlm.client import Client
from streaming_wavlm.errors import ServerError
from streaming_wavlm.protocol import Features
from streaming_wavlm.serve import Limits
from streaming_wavlm.serve.origins import is_loopback
from tiny import tiny_model


@pytest.fixture
def model(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STREAMING_WAVLM_TOKEN", raising=False)
    made = tiny_model(dtype=torch.float32)
    made.save_pretrained(tmp_path / "checkpoint")
    return made


@contextmanager
def served(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process, and its address."""
    command = ["serve", "-k", "checkpoint", "--port", "0", "--threads", "1", "--device", "cpu", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "streaming_wavlm", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("listening at http"), line + process.stderr.read()
            yield process, line.split()[-1]
        finally:
            process.kill()


def receive_for_ever(client: Client, events: list) -> None:
    while True:
        events.append(client.receive(timeout=60))


def test_it_serves_and_when_terminated_drains_and_ends_with_0(model) -> None:
    wave = speech(0.8)
    options = ["--chunk-ms", "80,40", "--log-format", "json", "--stats-seconds", "0"]
    with served(*options) as (process, url):
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            assert json.load(answer)["chunk_ms"] == [80, 40]
        with Client(url, layers=[0, 1], encoding="float32", retries=0, timeout=60) as client:
            client.send(wave)
            events = [client.receive(timeout=60)]
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ServerError, match="the server is stopping"):
                receive_for_ever(client, events)
        assert process.wait(60) == 0
        log = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert isinstance(events[0], Features)
    np.testing.assert_allclose(joined(events), one_pass(model, wave), atol=1e-5)
    assert log[-1]["message"] == "stopped"
    assert {"time", "level", "logger"} <= set(log[-1])


def test_terminated_under_load_it_drains_everybody(model) -> None:
    wave = speech(6.0, 4)
    results: dict[int, list] = {}

    def talk(number: int, url: str, begun: threading.Barrier) -> None:
        events = results[number] = []
        with Client(url, layers=[0, 1], encoding="float32", retries=0, timeout=60) as client:
            client.send(wave[:4000])
            begun.wait(60)
            with contextlib.suppress(ServerError):
                for begin in range(4000, len(wave), 800):
                    client.send(wave[begin : begin + 800])
                    event = client.receive(timeout=0.05)
                    events += [event] if event is not None else []
            with pytest.raises(ServerError, match="the server is stopping"):
                receive_for_ever(client, events)

    begun = threading.Barrier(9)
    with served("--chunk-ms", "80", "--stats-seconds", "0") as (process, url):
        threads = [threading.Thread(target=talk, args=(number, url, begun)) for number in range(8)]
        for thread in threads:
            thread.start()
        begun.wait(60)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()
    for number in range(8):
        got = joined(results[number])
        assert got.shape[1] >= 12
        np.testing.assert_allclose(got, one_pass(model, wave)[:, : got.shape[1]], atol=1e-5)


def test_tls_by_two_files(model, tmp_path, monkeypatch) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    wave = speech(0.4)
    with served("--chunk-ms", "80", "--certificate", "cert.pem", "--key", "key.pem") as (_, url):
        assert url.startswith("https://127.0.0.1:")
        with Client(url, layers=[0, 1], encoding="float32", timeout=60) as client:
            client.send(wave)
            client.flush()
            np.testing.assert_allclose(joined(list(client.until_end())), one_pass(model, wave), atol=1e-5)


def test_ctrl_c_ends_it_with_0_and_a_token_is_asked_for(model) -> None:
    Path("token").write_text("secret\n")
    with served("--token-file", "token") as (process, url):
        with pytest.raises(ServerError, match="a bearer token is needed"):
            Client(url, timeout=60)
        Client(url, token="secret", timeout=60).close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_second_ctrl_c_ends_the_draining_without_a_traceback(model) -> None:
    # A chunk that waits for company, of whom there is none.
    with served("--wait-ms", "60000", "--drain-seconds", "100", "--chunk-ms", "80") as (process, url):
        with (
            Client(url, encoding="float32", retries=0, timeout=60) as client,
            Client(url, retries=0, timeout=60),
        ):
            client.send(speech(0.08))
            process.send_signal(signal.SIGINT)
            while (event := client.receive(timeout=60)) is None or event.get("about") != "stopping":
                pass
            process.send_signal(signal.SIGINT)
            with pytest.raises(ServerError, match="the server is stopping"):
                receive_for_ever(client, [])
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_every_limit_is_an_option_with_the_default_that_it_has() -> None:
    assert [(name, default) for name, default, _ in LIMITS] == [
        (field.name, field.default) for field in fields(Limits)
    ]
    assert all(type(default) is type(getattr(Limits(), name)) for name, default, _ in LIMITS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--streams", "0"], "the limit streams must be above 0"),
        (["--rate", "inf"], "the limit rate must be above 0 and finite"),
        (["--wait-ms", "nan"], "the limit wait_ms must be from 0 and finite"),
        (["--chunk-ms", "30"], "30"),
        (["--certificate", "none.pem"], "there is no file none.pem"),
        (["--certificate", "bad.pem"], "TLS needs both"),
        (["--certificate", "bad.pem", "--key", "bad.pem"], "bad.pem"),
        (["--token-file", "none"], "the token cannot be read"),
        (["--token-file", "two"], "a token is one word"),
        (["--host", "256.1.1.1"], "cannot be listened on"),
    ],
)
def test_what_cannot_be_is_one_line(model, options, words, capsys) -> None:
    Path("bad.pem").write_text("no key")
    Path("two").write_text("two words")
    assert main(["serve", "-k", "checkpoint", "--port", "0", "--device", "cpu", *options]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("streaming-wavlm: ")
    assert words in said


def test_a_port_that_is_taken_is_one_line(model, capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "-k", "checkpoint", "--device", "cpu", "--port", str(port)]) == 2
    assert "give another --host or --port" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--port=70000", "--chunk-ms=a", "--chunk-ms=80,80", "--threads=0"])
def test_impossible_options_are_told_before_anything_is_loaded(option, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["serve", option])
    assert "usage:" in capsys.readouterr().err


def test_without_a_token_other_machines_are_a_warning(model, capsys, monkeypatch, caplog) -> None:
    import streaming_wavlm.serve.run as running

    monkeypatch.setattr(running, "serve", lambda *_: None)
    assert main(["serve", "-k", "checkpoint", "--device", "cpu", "--host", "0.0.0.0"]) == 0
    assert "asks for no token" in caplog.text
    caplog.clear()
    monkeypatch.setenv("STREAMING_WAVLM_TOKEN", "secret")
    assert main(["serve", "-k", "checkpoint", "--device", "cpu", "--host", "0.0.0.0"]) == 0
    assert "token" not in caplog.text


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_known(host, own) -> None:
    assert is_loopback(host) is own


def test_a_missing_library_names_the_extra(model, monkeypatch, capsys) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert main(["serve", "-k", "checkpoint"]) == 2
    assert 'needs uvicorn: pip install "streaming-wavlm[live]"' in capsys.readouterr().err
