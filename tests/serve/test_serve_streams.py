"""Streams of a live server: the features of each are those it would get alone."""

from __future__ import annotations

import asyncio
import gc
import threading

import numpy as np
import pytest

from live import CHUNKS, collected, joined, live, one_pass, speech
from streaming_wavlm.audio import Resampler
from streaming_wavlm.client import AsyncClient, Client
from streaming_wavlm.errors import ServerError
from streaming_wavlm.protocol import Features
from streaming_wavlm.serve.batcher import Job

ALL = (0, 1)


def test_packets_of_any_size_give_the_features_of_one_pass(server, model) -> None:
    wave = speech(1.0)
    with Client(server.url, layers=ALL, encoding="float32") as client:
        for part in np.split(wave, [1, 7, 100, 5000, 5001, 9999]):
            client.send(part)
        client.flush()
        events = list(client.until_end())
    np.testing.assert_allclose(joined(events), one_pass(model, wave), atol=1e-5)
    assert events[-1] == {"type": "end", "stream": 0, "frames": 50, "samples": 16000, "seconds": 1.0}
    places = [event.position for event in events if isinstance(event, Features)]
    assert places == list(range(0, 50, 4))


def test_a_hello_chooses_chunk_layers_weights_and_type(server, model) -> None:
    wave = speech(0.5, 1)
    with Client(
        server.url, layers=[-1, 0], chunk_ms=CHUNKS[1], dtype="float16", encoding="float32"
    ) as client:
        assert client.ready["layers"] == [1, 0]
        assert client.ready["chunk_ms"] == CHUNKS[1]
        assert client.ready["dim"] == model.config.dim
        assert client.ready["latency_ms"] == model.with_chunk(CHUNKS[1]).config.latency.algorithmic_ms
        client.send(wave)
        client.flush()
        got = collected(client)
    expected = one_pass(model, wave, CHUNKS[1])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, expected[::-1], atol=2e-2)
    with Client(server.url, layers=ALL, weights=[0.25, 2], encoding="float32") as client:
        client.send(wave)
        client.flush()
        mixed = collected(client)
    expected = one_pass(model, wave)
    np.testing.assert_allclose(mixed[0], 0.25 * expected[0] + 2 * expected[1], atol=1e-4)


def test_pooled_features_are_the_mean_of_each_chunk(server, model) -> None:
    wave = speech(0.75, 3)  # ends within a chunk of four frames
    before = server.service.metrics.frames._value.get()
    with Client(server.url, layers=ALL, weights=[1, -1], pool="mean", encoding="float32") as client:
        assert client.ready["pool"] == "mean"
        client.send(wave)
        client.flush()
        events = [event for event in client.until_end() if isinstance(event, Features)]
    frames = one_pass(model, wave)
    assert sum(event.frames for event in events) == frames.shape[1]
    for event in events:
        part = frames[:, event.position : event.position + event.frames].mean(1, keepdims=True)
        np.testing.assert_allclose(event.array, part[:1] - part[1:], atol=1e-5)
    assert [event.frames for event in events] == [4] * 9 + [2]
    assert server.service.metrics.frames._value.get() - before == 38


def test_another_rate_and_encoding_are_the_servers_work(server, model) -> None:
    wave = (32767 * np.clip(speech(0.8, 2), -1, 1)).astype(np.int16)[:6000]
    with Client(server.url, layers=ALL, sample_rate=8000) as client:
        client.send(wave)
        client.flush()
        got = collected(client)
    resampler = Resampler(8000)
    audio = np.concatenate([resampler.push(wave / np.float32(32768)), resampler.finish()])
    np.testing.assert_allclose(got, one_pass(model, audio), atol=1e-5)


def test_flush_and_reset_begin_another_stream(server, model) -> None:
    first, second = speech(0.33, 3), speech(0.5, 4)
    with Client(server.url, layers=ALL, encoding="float32") as client:
        client.send(first)
        client.flush()
        client.send(second)
        np.testing.assert_allclose(collected(client), one_pass(model, first), atol=1e-5)
        client.reset()
        client.send(second)
        client.flush()
        events = list(client.until_end())
    np.testing.assert_allclose(joined(events), one_pass(model, second), atol=1e-5)
    assert events[-1]["stream"] == 2


def test_the_longest_stream_is_each_streams_own(model) -> None:
    with (
        live(model, stream_seconds=1.0) as server,
        Client(server.url, layers=ALL, encoding="float32", retries=0) as client,
    ):
        for number in range(3):
            client.send(speech(0.8, number))
            client.flush()
            np.testing.assert_allclose(collected(client), one_pass(model, speech(0.8, number)), atol=1e-5)
        client.send(speech(0.8))
        client.reset()
        client.send(speech(0.8))
        client.send(speech(0.8))
        with pytest.raises(ServerError, match="a stream has at most 1 s of audio"):
            collected(client)


@pytest.mark.parametrize("workers", [1, 3])
def test_many_streams_at_once_each_get_their_own_features(model, workers) -> None:
    """Joins, leaves, both chunk sizes and packets of all sizes, side by side."""
    with live(model, workers=workers) as server:
        everybody_talks(server, model)


def everybody_talks(server, model) -> None:
    problems: list[BaseException] = []
    before = server.service.metrics.batch._sum.get()

    def talk(seed: int) -> None:
        rng = np.random.default_rng(seed)
        wave = speech(rng.uniform(0.1, 1.5), seed)
        chunk = CHUNKS[seed % 2]
        try:
            with Client(server.url, layers=ALL, chunk_ms=chunk, encoding="float32") as client:
                if seed % 3 == 0:
                    client.send(speech(0.2, seed + 1))
                    client.reset()
                place = 0
                while place < len(wave):
                    size = int(rng.integers(1, 4000))
                    client.send(wave[place : place + size])
                    place += size
                client.flush()
                np.testing.assert_allclose(collected(client), one_pass(model, wave, chunk), atol=1e-5)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert server.service.metrics.batch._sum.get() > before
    server.wait(lambda service: service.open_streams == 0)


def test_the_asynchronous_client_says_the_same(server, model) -> None:
    wave = speech(0.7, 5)

    async def talk() -> np.ndarray:
        async with AsyncClient(server.url, layers=ALL, encoding="float32") as client:
            for part in np.array_split(wave, 9):
                await client.send(part)
            await client.flush()
            return joined([event async for event in client.until_end()])

    np.testing.assert_allclose(asyncio.run(talk()), one_pass(model, wave), atol=1e-5)


def test_what_a_step_leaves_behind_needs_no_garbage_collector(server) -> None:
    """A job holds a state, which is large: in a cycle it would stay until the collector comes by."""
    gc.collect()
    gc.disable()
    try:
        with Client(server.url, layers=ALL, encoding="float32") as client:
            client.send(speech(4.0))
            client.flush()
            assert collected(client).shape[1] == 200
        assert sum(type(one) is Job for one in gc.get_objects()) <= 2
    finally:
        gc.enable()
