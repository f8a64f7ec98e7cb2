"""Every section on a tiny model, with its real processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streaming_wavlm.bench import accuracy, ageing, profile, resident, steps, streams, tables
from streaming_wavlm.bench.crew import Crew, Model, Settings
from streaming_wavlm.bench.sliding import SlidingSubject
from streaming_wavlm.errors import BenchError
from streaming_wavlm.loading import random_model
from tiny import tiny_config


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(engines=("packed",), rounds=2, threads=1, folder=tmp_path, say=lambda text: None)


@pytest.fixture
def model(tmp_path) -> Model:
    config = tiny_config(lookahead_size=3)
    random_model(config).save_pretrained(tmp_path / "tiny")
    return Model("mini", str(tmp_path / "tiny"), config)


@pytest.mark.slow
def test_the_sections_of_a_crew(model, settings, monkeypatch) -> None:
    monkeypatch.setattr(steps, "CHUNKS_MS", (200, 400))
    monkeypatch.setattr(profile, "CHUNKS_MS", (400,))
    monkeypatch.setattr(streams, "BATCHES", (1, 4))
    monkeypatch.setitem(accuracy._SECONDS, "mini", 2.0)
    with Crew(model, settings) as crew:
        assert "eager int8" in crew.skipped
        assert {"eager fp32", "packed fp32", "packed bf16"} <= set(crew.workers)
        memory = resident.measure(crew)
        stepped = steps.measure(crew)
        profiled = profile.measure(crew)
        compared = accuracy.measure(crew)
        everyone = list(crew.workers)
        streamed = streams.measure(crew)  # which closes those that are done
    counted = [row["variant"] for row in stepped["rows"]]
    assert counted.count("packed fp32") == counted.count("eager bf16") == 2
    assert set(counted) == set(everyone)
    assert len(stepped["checks"]) == len(stepped["rows"])
    fp32 = [row for row in stepped["rows"] if row["variant"] == "packed fp32"]
    assert all(row["equality"]["largest_error"] < 1e-5 for row in fp32)
    assert stepped["sliding"]["ms"]["count"] == 2
    assert [row["sliding_over_step"] is not None for row in fp32] == [False, True]
    assert {row["batch"] for row in streamed["rows"]} == {1, 4}
    assert [row["variant"] for row in compared["rows"]] == everyone[1:]
    shares = [operator["share"] for row in profiled["rows"] for operator in row["operators"]]
    assert 0 < max(shares) < 1
    for name, found in (
        ("memory", memory),
        ("steps", stepped),
        ("profile", profiled),
        ("streams", streamed),
        ("accuracy", compared),
    ):
        assert "| packed fp32 |" in tables.section(name, "mini", found)


class Mortal:
    """A candidate that answers some turns, then none."""

    def __init__(self, turns: int) -> None:
        self.left, self.closed = turns, False

    def call(self, method: str, **arguments: int) -> list[float]:
        if not self.left:
            raise BenchError(f"a benchmark's process ended in {method!r}: exit status -9")
        self.left -= 1
        return [float(arguments["measured"])]

    def close(self) -> None:
        self.closed = True


def test_a_candidate_that_dies_in_its_turn_is_lost_and_the_others_begin_anew(model, settings) -> None:
    crew = Crew(model, settings)
    killed = Mortal(3)
    crew.workers = {"eager fp32": Mortal(99), "packed fp32": killed, "packed int8": Mortal(99)}
    peaks = Mortal(99)
    beside = {"peaks": lambda: peaks.call("turn", measured=1)}
    found = crew.take_turns(list(crew.workers), 4, "400 ms, batch 32", beside, measured=2)
    assert found == {"eager fp32": [[2.0]] * 4, "packed int8": [[2.0]] * 4, "peaks": [[1.0]] * 4}
    assert killed.closed
    assert list(crew.workers) == ["eager fp32", "packed int8"]
    assert [failure["what"] for failure in crew.failures] == ["mini, packed fp32, 400 ms, batch 32: it runs"]
    assert "-9" in crew.failures[0]["detail"]
    # Without the baseline there is nothing to compare with.
    crew.workers["eager fp32"] = Mortal(1)
    with pytest.raises(BenchError, match="exit status -9"):
        crew.take_turns(list(crew.workers), 2, "400 ms, batch 32", measured=2)


def test_graphs_of_the_full_size_step_fewer_streams_unless_named(model, settings) -> None:
    full = replace(model, config=model.config.replace(dim=1024, num_heads=16))
    crew = Crew(full, replace(settings, engines=None))
    assert streams._takes_part(crew, "openvino int8", 16)
    assert not streams._takes_part(crew, "openvino int8", 32)
    assert list(crew.skipped) == ["openvino int8, 32 streams"]
    assert streams._takes_part(crew, "packed int8", 32)
    for other in (Crew(full, replace(settings, engines=("openvino",))), Crew(model, settings)):
        assert streams._takes_part(other, "openvino int8", 32)
    assert not streams._takes_part(crew, "eager bf16", 1)


@pytest.mark.slow
def test_the_section_of_an_old_stream(model, settings, monkeypatch) -> None:
    monkeypatch.setitem(ageing._LIVES, "mini", ("fp32", 1, (1, 60)))
    monkeypatch.setitem(ageing._COMPARED, "mini", 2)
    found = ageing.measure(model, settings)
    assert [row["minute"] for row in found["rows"]] == [1, 60]
    assert [check["holds"] for check in found["checks"]] == [True]
    assert "| 60 |" in tables.section("ageing", "mini", found)


def test_the_sliding_window_has_the_models_size() -> None:
    pytest.importorskip("transformers")
    config = tiny_config()
    subject = SlidingSubject(config.to_dict())
    offline = subject._model.config
    assert (offline.hidden_size, offline.num_hidden_layers) == (config.dim, config.num_layers)
    assert len(subject.turn()) == 1


def test_what_an_engine_refuses_is_known_before_a_process_starts(settings) -> None:
    model = Model.named("mini", settings)
    assert "no int8" in model.refused["eager int8"]
    assert not {"eager fp32", "packed fp32"} & set(model.refused)


def test_graphs_are_built_for_few_chunks_unless_named(model, settings) -> None:
    crew = Crew(model, replace(settings, engines=None))
    crew.workers = dict.fromkeys(("eager fp32", "packed int8", "openvino bf16", "openvino int8"))
    assert crew.at(80) == ("eager fp32", "packed int8")
    assert crew.at(200) == ("eager fp32", "packed int8", "openvino int8")
    assert len(crew.at(400)) == 4
    assert any(what.startswith("openvino bf16, chunks but") for what in crew.skipped)
    named = Crew(model, replace(settings, engines=("openvino",)))
    named.workers = crew.workers
    assert len(named.at(80)) == 4
