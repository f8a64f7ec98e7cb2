"""The asynchronous client comes back, however little patience those have who wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np

from scripted import features, ready, said, scripted
from streaming_wavlm.client import AsyncClient
from streaming_wavlm.protocol import Features, message


def test_whoever_gives_up_waiting_does_not_stop_the_way_back() -> None:
    def lost(socket, _) -> None:
        socket.send(ready())
        socket.socket.shutdown(2)

    def slow(socket, _) -> None:
        time.sleep(0.5)
        socket.send(ready())
        socket.send(features(0))
        said(socket)  # until the client leaves

    async def listen(url: str) -> Features:
        async with asyncio.timeout(20), AsyncClient(url, encoding="float32") as client:
            while True:
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(client.receive(), 0.02)

    with scripted(lost, slow) as url:
        assert asyncio.run(listen(url)).position == 0


def test_what_is_said_on_the_way_back_arrives_once_and_in_its_order() -> None:
    heard: list[bytes] = []

    def listen(socket) -> bool:
        """Take audio up to a flush; False if that is enough for this connection."""
        for _ in range(40):
            data = socket.recv(timeout=30)
            if isinstance(data, str):
                return True
            heard.append(data)
        return False

    def serve(socket, _) -> None:
        time.sleep(0.05)
        socket.send(ready(samples=len(b"".join(heard)) // 4))
        if listen(socket):
            socket.send(message("end", stream=0, frames=0, samples=0, seconds=0))
            socket.recv(timeout=30)
        else:
            socket.socket.shutdown(2)

    async def talk(url: str) -> None:
        async with asyncio.timeout(60), AsyncClient(url, encoding="float32", retries=3) as client:

            async def speak() -> None:
                for number in range(300):
                    await client.send(np.full(100, number, np.float32))
                    await asyncio.sleep(0)
                await client.flush()

            speaking = asyncio.create_task(speak())
            while True:
                try:
                    event = await asyncio.wait_for(client.receive(), 0.01)
                except TimeoutError:
                    continue
                if event["type"] == "end":
                    break
            await speaking

    with scripted(*[serve] * 30) as url:
        asyncio.run(talk(url))
    expected = np.repeat(np.arange(300, dtype=np.float32), 100)
    assert np.array_equal(np.frombuffer(b"".join(heard), np.float32), expected)
