"""Correctness under load: 64 streams of real speech on the embedded model, with cuts and resets."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch

import streaming_wavlm as sw
from live import joined, live
from streaming_wavlm import corpus
from streaming_wavlm.client import AsyncClient
from streaming_wavlm.protocol import Features

STREAMS = 64
CHUNKS = (400, 200)


async def talk(url: str, wave: np.ndarray, seed: int) -> np.ndarray:
    """Send a recording with joins, cuts and resets as the seed wants it; return its features."""
    rng = np.random.default_rng(seed)
    await asyncio.sleep(float(rng.uniform(0, 3)))
    events: list[object] = []
    async with AsyncClient(url, layers=(3, 7), chunk_ms=CHUNKS[seed % 2], encoding="float32") as client:

        async def receive() -> None:
            async for event in client.until_end():
                events.append(event)

        if seed % 4 == 0:
            await client.send(wave[: int(rng.integers(1, 9000))])
            await client.reset()
        receiver = asyncio.create_task(receive())
        place = 0
        while place < len(wave):
            size = int(rng.integers(1, 6000))
            await client.send(wave[place : place + size])
            place += size
            await asyncio.sleep(float(rng.uniform(0, 0.05)))
            if rng.random() < 0.1:
                client._socket.transport.abort()  # nobody says good-bye
        await client.flush()
        await receiver
    # What a reset dropped may have been on its way.
    return joined(
        [event for event in events if isinstance(event, Features) and event.stream == seed_stream(seed)]
    )


def seed_stream(seed: int) -> int:
    """The number of the stream that counts: the second of those that begin with a reset."""
    return int(seed % 4 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_64_streams_of_real_speech_each_get_the_features_of_one_pass(workers) -> None:
    model = sw.load("mini")
    speech = corpus.long_recording(200.0)
    rng = np.random.default_rng(0)
    waves = []
    for _ in range(STREAMS):
        begin, length = int(rng.integers(0, len(speech) - 64_000)), int(rng.integers(3_000, 64_000))
        waves.append(np.asarray(speech[begin : begin + length], dtype=np.float32))
    with live(model, chunks=CHUNKS, workers=workers, streams=2 * STREAMS, parked=2 * STREAMS) as server:

        async def everybody() -> list[np.ndarray]:
            return await asyncio.gather(*(talk(server.url, wave, seed) for seed, wave in enumerate(waves)))

        features = asyncio.run(everybody())
        server.wait(lambda service: service.open_streams == 0)
        resumed = server.service.metrics.resumed._value.get()
        steps = server.service.metrics.batch._sum.get()
    assert resumed > STREAMS / 4
    for seed, (wave, found) in enumerate(zip(waves, features, strict=True)):
        with torch.no_grad():
            hidden = model(torch.from_numpy(wave)[None], chunk_ms=CHUNKS[seed % 2]).hidden_states
        expected = torch.stack([hidden[layer][0] for layer in (3, 7)]).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert steps > STREAMS
