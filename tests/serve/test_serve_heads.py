"""Heads on a live server say of a stream what they would say of its features, whoever else speaks."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
import torch

from lab_heads import CONFIGS, head, offline
from live import live, one_pass, speech
from streaming_wavlm.client import AsyncClient, Client
from streaming_wavlm.errors import ConfigError, ServerError
from streaming_wavlm.heads.reader import HeadReader
from streaming_wavlm.protocol import Features
from streaming_wavlm.serve import build_service

NAMES = tuple(sorted(CONFIGS))
CHUNK, FRAMES = 80, 4
# Made once: making one draws from the generator that all threads share.
HEADS = {name: head(name) for name in NAMES}


@pytest.fixture(scope="module")
def server(model):
    with live(model, heads=list(HEADS.values())) as running:
        yield running


def heard(events: list) -> dict[str, list[dict]]:
    said: dict[str, list[dict]] = {name: [] for name in NAMES}
    for event in events:
        if isinstance(event, dict) and event["type"] == "head":
            said[event["name"]].append(event)
    return said


def require(events: list, model, wave: np.ndarray, stream: int = 0) -> None:
    """Require that every head said of every chunk what it says of the features of one pass."""
    hidden = list(torch.from_numpy(one_pass(model, wave, CHUNK)))
    frames = hidden[0].shape[0]
    for name, said in heard(events).items():
        one, config = HEADS[name], CONFIGS[name]
        assert [event["position"] for event in said] == [*range(FRAMES, frames, FRAMES), frames]
        assert {event["stream"] for event in said} == {stream}
        labels = [slot.labels for slot in config.slots]
        for event in said:
            values = offline(one, hidden, event["position"])
            if config.kind == "pooled":
                told = [share for slot in event["slots"] for share in slot["scores"].values()]
                names = [label for slot in event["slots"] for label in slot["scores"]]
                places = {label: i for i, label in enumerate(sum(labels, ()))}
                expected = [float(values[places[label]]) for label in names]
                assert event["heard"] == min(event["position"], config.window_frames)
            elif config.kind == "frames":
                told, expected = event["scores"], values[event["begin"] :].max(-1).values.tolist()
            else:
                told = [event["scores"][label] for label in labels[0]]
                expected = values[event["begin"] :].T.tolist()
            np.testing.assert_allclose(told, expected, atol=2e-4)


@pytest.mark.parametrize("cuts", [[], [1, 7, 100, 5000, 5001, 9999], list(range(320, 12_000, 320))])
def test_what_heads_say_does_not_depend_on_packets(server, model, cuts) -> None:
    wave = speech(0.77)
    with Client(server.url, encoding="float32", chunk_ms=CHUNK, heads=NAMES) as client:
        told = {one["name"]: one for one in client.ready["heads"]}
        assert told["words"]["slots"] == [{"name": "keyword", "labels": 3}]
        for part in np.split(wave, cuts):
            client.send(part)
        client.flush()
        require(list(client.until_end()), model, wave)
        client.send(wave[:4000])  # the next stream begins with nothing heard
        client.flush()
        require(list(client.until_end()), model, wave[:4000], stream=1)


def test_nor_on_who_else_speaks(server, model) -> None:
    problems: list[BaseException] = []
    before = server.service.metrics.batch._sum.get()

    def talk(seed: int) -> None:
        rng = np.random.default_rng(seed)
        wave = speech(rng.uniform(0.3, 1.5), seed)
        wanted = {"heads": NAMES} if seed % 3 else {}
        try:
            with Client(server.url, encoding="float32", chunk_ms=CHUNK, **wanted) as client:
                for begin in range(0, len(wave), size := int(rng.integers(500, 4000))):
                    client.send(wave[begin : begin + size])
                client.flush()
                events = list(client.until_end())
            assert bool(wanted) == any(heard(events).values())
            if wanted:
                require(events, model, wave)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert server.service.metrics.batch._sum.get() > before


def test_a_head_that_hears_its_neighbour_would_be_seen(server, model, monkeypatch) -> None:
    advance, others = HeadReader.advance, {}

    def confused(self, hidden, state, *, position):
        said, after = advance(self, hidden, others.get(position, state), position=position)
        others.setdefault(position + len(hidden[0]), after)
        return said, after

    monkeypatch.setattr(HeadReader, "advance", confused)
    waves = [speech(0.7, seed) for seed in range(2)]
    events = []
    for wave in waves:
        with Client(server.url, encoding="float32", chunk_ms=CHUNK, heads=NAMES) as client:
            client.send(wave)
            client.flush()
            events.append(list(client.until_end()))
    require(events[0], model, waves[0])
    with pytest.raises(AssertionError):
        require(events[1], model, waves[1])


def test_what_heads_say_is_not_lost_with_a_connection(server, model) -> None:
    wave = speech(2.0, 1)
    with Client(server.url, encoding="float32", chunk_ms=CHUNK, heads=NAMES) as client:
        events = []
        for number, part in enumerate(np.split(wave, 20)):
            client.send(part)
            if number % 4 == 1:
                client._socket.socket.close()  # nobody says good-bye
            event = client.receive(timeout=0.05)
            events += [event] if event is not None else []
        client.flush()
        events += list(client.until_end())
    require(events, model, wave)


def test_what_is_said_of_a_chunk_comes_before_its_features(server) -> None:
    async def talk() -> list:
        async with AsyncClient(server.url, encoding="float32", chunk_ms=CHUNK, heads=("words",)) as client:
            await client.send(speech(0.5))
            await client.flush()
            return [event async for event in client.until_end()]

    places = [
        event.position + event.array.shape[1] if isinstance(event, Features) else event["position"]
        for event in asyncio.run(talk())
        if isinstance(event, Features) or event["type"] == "head"
    ]
    assert places == [end for end in [*range(4, 25, 4), 25] for _ in range(2)]


def test_a_reset_drops_what_was_heard(server, model) -> None:
    with Client(server.url, encoding="float32", chunk_ms=CHUNK, heads=NAMES) as client:
        client.send(speech(0.5, 5))
        client.reset()
        wave = speech(0.5, 6)
        client.send(wave)
        client.flush()
        require([event for event in client.until_end() if not _of(event, 0)], model, wave, stream=1)


def _of(event, stream: int) -> bool:
    return (event.stream if isinstance(event, Features) else event.get("stream")) == stream


def test_heads_that_are_not_served_are_refused_with_those_that_are(server, model) -> None:
    with pytest.raises(ServerError, match=r"got 'songs'; there are orders, phones, speakers, words"):
        Client(server.url, heads=("words", "songs"))
    with live(model) as bare, pytest.raises(ServerError, match="none is served"):
        Client(bare.url, heads=("words",))
    assert [one["name"] for one in server.service.health()["heads"]] == list(NAMES)


def test_two_heads_of_one_name_cannot_be_served(model) -> None:
    with pytest.raises(ConfigError, match="two heads are called 'words'"):
        build_service(model, (80,), heads=[head("words"), head("words")])
