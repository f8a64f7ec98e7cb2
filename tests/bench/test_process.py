"""A process that answers, refuses, fails and dies."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from streaming_wavlm import StreamState
from streaming_wavlm.bench import worker
from streaming_wavlm.bench.process import CannotRunError, Worker
from streaming_wavlm.errors import BenchError, StreamingWavLMError
from streaming_wavlm.loading import random_model
from tiny import TINY, tiny_config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("bench") / "tiny"
    random_model(tiny_config(lookahead_size=3)).save_pretrained(folder)
    return str(folder)


class Fake:
    def __init__(self, fails: bool = False) -> None:
        if fails:
            raise StreamingWavLMError("not here")

    def double(self, number: int) -> int:
        return 2 * number

    def break_down(self) -> None:
        raise ZeroDivisionError("oh")


def replies(monkeypatch, *calls: tuple) -> list:
    monkeypatch.setattr(worker, "SUBJECTS", {"fake": Fake})
    answers = io.StringIO()
    worker.serve(io.StringIO("".join(json.dumps(call) + "\n" for call in calls)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def make(**arguments) -> tuple:
    return ("make", {"kind": "fake", "threads": None, "arguments": arguments})


def test_calls_are_answered_and_errors_told(monkeypatch) -> None:
    assert replies(
        monkeypatch, make(), ("double", {"number": 4}), ("break_down", {}), ("double", {"number": 1})
    ) == [
        {"answer": None},
        {"answer": 8},
        {"error": "ZeroDivisionError: oh", "refused": False},
        {"answer": 2},
    ]
    assert replies(monkeypatch, make(fails=True)) == [{"error": "not here", "refused": True}]


def test_an_engine_steps_as_the_eager_one_in_a_process_of_its_own(checkpoint, tmp_path) -> None:
    state = tmp_path / "state"
    arrays = []
    for engine in ("eager", "packed"):
        with Worker("engine", 1, source=checkpoint, engine=engine, precision="fp32") as own:
            if engine == "eager":
                own.call("save_state", path=str(state))
            own.call("prepare", chunk_ms=400, state=str(state), batch=3)
            own.call("step_output", path=str(tmp_path / "out.npy"))
            arrays.append(np.load(tmp_path / "out.npy"))
            assert len(own.call("turn", warm=1, measured=2)) == 2
            assert own.call("memory") > 10
    assert arrays[0].shape == (TINY["num_layers"], 3, 20, TINY["dim"])
    np.testing.assert_allclose(arrays[0], arrays[1], atol=1e-4)


def test_the_common_state_is_past_the_window(checkpoint, tmp_path) -> None:
    from streaming_wavlm.bench.engine_subject import AGE_FRAMES, EngineSubject

    subject = EngineSubject(checkpoint, "eager", "fp32")
    subject.save_state(str(tmp_path / "state"))
    state = StreamState.load(tmp_path / "state", tiny_config(lookahead_size=3, chunk_ms=4000))
    assert state.position.tolist() == [AGE_FRAMES]
    assert all(AGE_FRAMES % (ms // 20) == 0 for ms in (80, 200, 400, 800, 1000))
    subject.prepare(400, str(tmp_path / "state"), batch=3)
    assert subject._state.position.tolist() == [AGE_FRAMES, AGE_FRAMES + 20, AGE_FRAMES + 40]


def test_streamed_features_are_those_of_one_pass(checkpoint, tmp_path) -> None:
    from streaming_wavlm import load
    from streaming_wavlm.bench.engine_subject import EngineSubject
    from streaming_wavlm.corpus import long_recording

    EngineSubject(checkpoint, "eager", "fp32").features(2.0, str(tmp_path / "out.npy"))
    with torch.inference_mode():
        once = load(checkpoint)(torch.from_numpy(long_recording(2.0))[None]).hidden_states
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), torch.cat(once).numpy(), atol=1e-4)


def test_what_cannot_run_is_told_from_what_fails(checkpoint) -> None:
    with pytest.raises(CannotRunError, match="no int8"):
        Worker("engine", 1, source=checkpoint, engine="eager", precision="int8")
    with Worker("engine", 1, source=checkpoint, engine="eager", precision="fp32") as own:
        with pytest.raises(BenchError, match="AttributeError"):
            own.call("nothing")
        own._process.kill()
        with pytest.raises(BenchError, match="ended in 'memory'"):
            own.call("memory")


def test_an_old_stream_goes_on_as_a_young_one(checkpoint, tmp_path) -> None:
    from streaming_wavlm.bench.ageing_subject import AgeingSubject

    subject = AgeingSubject(checkpoint, "packed", "fp32")
    assert subject.advance(6) > 0
    assert subject.jump(3000 * 20, str(tmp_path / "old")) == 0
    compared = subject.compare(3)
    assert len(compared["old"]) == len(compared["young"]) == 3
    assert subject._old.position.tolist() == [20 * (6 + 3000 + 1 + 4)]


def test_the_most_memory_between_two_looks_is_told(checkpoint, monkeypatch) -> None:
    from streaming_wavlm.bench import ageing_subject

    readings = iter([100.0, 300.0, 200.0, *[150.0] * 4, 120.0, *[110.0] * 4])
    monkeypatch.setattr(ageing_subject, "resident_mib", lambda: next(readings))
    subject = ageing_subject.AgeingSubject(checkpoint, "packed", "fp32")
    subject.advance(3)
    assert subject.compare(1)["memory"] == 300.0
    subject.advance(1)
    assert subject.compare(1)["memory"] == 120.0
