"""How many real-time streams one live server holds, beside as many processes with a model each.

A number of streams is held if 95 of 100 chunks have their features within the chunk's own duration. The load
comes over loopback from this process; both sides hear the same embedded speech in packets of 100 ms, each
stream beginning at its own moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streaming_wavlm.bench.timing import machine

PACKET = 1600
Audio = npt.NDArray[np.float32]


def main() -> None:
    """Measure each number of streams, both ways in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", "--checkpoint", default="mini")
    parser.add_argument("--chunk-ms", type=int, default=400)
    parser.add_argument("--engine", default="packed", help="of both sides (default: packed)")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--seconds", type=float, default=12.0, help="of real time for each number")
    parser.add_argument("--streams", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--processes", type=int, default=32, help="the most processes to try")
    parser.add_argument(
        "--threads", type=int, default=None, help="of the server's model (default: cores - 1)"
    )
    parser.add_argument("--workers", type=int, default=1, help="of the server, which share its threads")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    how = {"engine": args.engine, "precision": args.precision}
    threads = args.threads or max(1, (os.cpu_count() or 2) - 1)
    print(
        f"{machine()}; {args.checkpoint}, {args.engine} {args.precision}, {args.chunk_ms} ms chunks, "
        f"{args.seconds:g} s each\n"
    )
    print("| streams | one server: p50, p95 | holds | mean batch | a process each: p50, p95 | holds |")
    print("|---|---|---|---|---|---|")
    rows = []
    for number in args.streams:
        server, batch = served(
            args.checkpoint, how, args.chunk_ms, number, args.seconds, (threads, args.workers)
        )
        alone = (
            processes(args.checkpoint, how, args.chunk_ms, number, args.seconds)
            if number <= args.processes
            else None
        )
        row = {
            "streams": number, "server": summary(server, args.chunk_ms), "batch": round(batch, 1),
            "processes": summary(alone, args.chunk_ms) if alone is not None else None,
        }  # fmt: skip
        rows.append(row)
        print(
            f"| {number} | {shown(row['server'])} | {row['batch']} | {shown(row['processes'])} |", flush=True
        )
    if args.json:
        temporary = args.json.with_suffix(".part")
        temporary.write_text(
            json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )
        temporary.replace(args.json)


def summary(latencies: list[float], chunk_ms: int) -> dict[str, Any]:
    """Return quantiles in milliseconds and whether the streams were held; late chunks never came at all."""
    p50, p95 = np.percentile(latencies, [50, 95]) * 1000
    return {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "holds": bool(p95 < chunk_ms)}


def shown(found: dict[str, Any] | None) -> str:
    """Return two cells of the table."""
    if found is None:
        return "– | –"
    return f"{found['p50_ms']}, {found['p95_ms']} ms | {'yes' if found['holds'] else 'no'}"


def speech(seconds: float) -> Audio:
    """The embedded speech, as long as asked for."""
    from streaming_wavlm import corpus

    return np.asarray(corpus.long_recording(seconds), dtype=np.float32)


# --- one server


def served(
    checkpoint: str,
    how: dict[str, str],
    chunk_ms: int,
    number: int,
    seconds: float,
    threads: tuple[int, int],
) -> tuple[list[float], float]:
    """Return the latency of each chunk [s], and the mean number of streams in a step."""
    context = multiprocessing.get_context("spawn")
    ready, stop, results = context.Queue(), context.Event(), context.Queue()
    process = context.Process(
        target=_serve, args=(checkpoint, how, chunk_ms, number, threads, ready, stop, results)
    )
    process.start()
    try:
        url = ready.get(timeout=120)
        latencies = asyncio.run(_all_streams(url, number, speech(seconds), chunk_ms))
    finally:
        stop.set()
        batch = results.get(timeout=60)
        process.join(60)
    return latencies, batch


def _serve(
    checkpoint: str,
    how: dict[str, str],
    chunk_ms: int,
    number: int,
    threads: tuple[int, int],
    ready: Any,
    stop: Any,
    results: Any,
) -> None:
    import threading

    import torch

    import streaming_wavlm as sw
    from streaming_wavlm.serve import Limits, build_service
    from streaming_wavlm.serve.run import Address, build_server

    of_model, workers = threads
    torch.set_num_threads(max(1, of_model // workers))
    limits = Limits(streams=number, batch=64)
    service = build_service(sw.load(checkpoint, **how), (chunk_ms,), limits, workers=workers)
    server = build_server(service, Address(port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    ready.put(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    stop.wait()
    batch = service.metrics.batch
    counted = sum(bucket.get() for bucket in batch._buckets)
    results.put(batch._sum.get() / max(1.0, counted))
    server.should_exit = True
    thread.join()


async def _all_streams(url: str, number: int, wave: Audio, chunk_ms: int) -> list[float]:
    streams = [_one_stream(url, wave, chunk_ms, place / number * chunk_ms / 1000) for place in range(number)]
    return [latency for stream in await asyncio.gather(*streams) for latency in stream]


async def _one_stream(url: str, wave: Audio, chunk_ms: int, offset: float) -> list[float]:
    from streaming_wavlm.client import AsyncClient
    from streaming_wavlm.protocol import Features

    chunk = chunk_ms * 16
    sent: dict[int, float] = {}
    latencies: list[float] = []
    async with AsyncClient(url, encoding="float32", dtype="float16") as client:

        async def receive() -> None:
            async for event in client.until_end():
                if isinstance(event, Features):
                    end = (event.position + event.array.shape[1]) * 320
                    if end in sent:
                        latencies.append(time.perf_counter() - sent[end])

        receiver = asyncio.create_task(receive())
        began = time.perf_counter() + offset
        for place in range(0, len(wave), PACKET):
            # A microphone gives a packet when its last sample was heard.
            await asyncio.sleep(max(0.0, began + (place + PACKET) / 16_000 - time.perf_counter()))
            await client.send(wave[place : place + PACKET])
            for end in range(-(-(place + 1) // chunk) * chunk, place + PACKET + 1, chunk):
                sent[end] = time.perf_counter()
        await client.flush()
        await receiver
    return latencies


# --- a process each


def processes(
    checkpoint: str, how: dict[str, str], chunk_ms: int, number: int, seconds: float
) -> list[float]:
    """Return the latency of each chunk [s] when every stream has a process and a model of its own."""
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(number)
    started = [
        context.Process(
            target=_alone, args=(checkpoint, how, chunk_ms, seconds, place / number, barrier, results)
        )
        for place in range(number)
    ]
    for process in started:
        process.start()
    latencies = [latency for _ in started for latency in results.get(timeout=300 + 20 * seconds)]
    for process in started:
        process.join()
    return latencies


def _alone(
    checkpoint: str,
    how: dict[str, str],
    chunk_ms: int,
    seconds: float,
    place: float,
    barrier: Any,
    results: Any,
) -> None:
    import torch

    import streaming_wavlm as sw

    torch.set_num_threads(1)
    session = sw.StreamSession(sw.load(checkpoint, chunk_ms=chunk_ms, **how))
    wave = speech(seconds)
    session.push(wave[: chunk_ms * 32])
    session.reset()
    barrier.wait()
    latencies = []
    began = time.perf_counter() + place * chunk_ms / 1000
    for begin in range(0, len(wave), PACKET):
        due = began + (begin + PACKET) / 16_000
        time.sleep(max(0.0, due - time.perf_counter()))
        if session.push(wave[begin : begin + PACKET]).shape[1]:
            # From the moment the packet was there: a process that lags behind is late.
            latencies.append(time.perf_counter() - due)
    results.put(latencies)


if __name__ == "__main__":
    main()
