"""A live server in a thread, for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from streaming_wavlm import StreamingWavLM
from streaming_wavlm.client import Client
from streaming_wavlm.heads import Head
from streaming_wavlm.protocol import Features
from streaming_wavlm.serve import Limits, Service, build_service
from streaming_wavlm.serve.access import Access
from streaming_wavlm.serve.run import Address, Server, build_server

CHUNKS = (80, 40)


@dataclass
class Live:
    """A server that runs."""

    url: str
    service: Service
    server: Server

    def wait(self, condition: Any, seconds: float = 10.0) -> None:
        """Wait until a condition of the service holds."""
        until = time.monotonic() + seconds
        while not condition(self.service):
            assert time.monotonic() < until, f"waited {seconds} s in vain: {self.service.health()}"
            time.sleep(0.01)


@contextlib.contextmanager
def live(
    model: StreamingWavLM,
    *,
    access: Access | None = None,
    chunks: tuple[int, ...] = CHUNKS,
    heads: Sequence[Head] = (),
    workers: int = 1,
    **limits: Any,
) -> Iterator[Live]:
    service = build_service(model, chunks, Limits(**{"stats_seconds": 0, **limits}), heads, workers)
    server = build_server(service, Address(port=0), access)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Live(f"http://127.0.0.1:{port}", service, server)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


class Held:
    """Lets the model of a server begin a step, and end it when it is told to.

    Args:
        live: the server.
        fails: steps that fail, counted from 0.
    """

    def __init__(self, live: Live, fails: Sequence[int] = ()) -> None:
        self.began, self.go, self.steps = threading.Event(), threading.Event(), 0
        batcher = live.service._batcher
        together = batcher._together

        def step(jobs: Any) -> Any:
            number, self.steps = self.steps, self.steps + 1
            self.began.set()
            assert self.go.wait(30)
            if number in fails:
                raise RuntimeError("out of memory")
            return together(jobs)

        batcher._together = step  # type: ignore[method-assign]


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise, as loud as speech."""
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(16_000 * seconds))).astype(np.float32)


def one_pass(model: StreamingWavLM, wave: np.ndarray, chunk_ms: int = CHUNKS[0]) -> np.ndarray:
    """What the features must be, ``[layers, frames, dim]``."""
    with torch.no_grad():
        output = model(torch.from_numpy(wave)[None].to(model.dtype), chunk_ms=chunk_ms)
    return torch.stack([hidden[0] for hidden in output.hidden_states]).numpy()


def collected(client: Client) -> np.ndarray:
    """Everything up to the end, ``[layers, frames, dim]``."""
    return joined(list(client.until_end()))


def joined(events: list[Any]) -> np.ndarray:
    """The features among events, ``[layers, frames, dim]``."""
    return np.concatenate([event.array for event in events if isinstance(event, Features)], axis=1)
