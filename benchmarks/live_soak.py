"""An hour of speech through a live server as fast as it takes it, short streams coming and going beside it.

Every chunk is compared with the same model streaming in this process. Told are the memory of the server, its
latency and the largest difference, minute by minute: none of them may grow.

python benchmarks/live_soak.py --hours 1
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
RATE = 16_000
PACKET = RATE // 5
VISIT_EVERY = 30.0  # seconds of audio between two short streams


def main() -> None:
    """Serve, stream, compare, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-k", "--checkpoint", default="mini")
    parser.add_argument("--chunk-ms", type=int, default=400)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seconds = args.hours * 3600
    limits = ("--rate", "10000", "--burst-seconds", "100000", "--stream-seconds", str(2 * seconds))
    command = [
        sys.executable,
        "-m",
        "streaming_wavlm",
        "serve",
        "-k",
        args.checkpoint,
        "--port",
        "0",
    ]
    command += ["--chunk-ms", str(args.chunk_ms), "--threads", "1", *limits]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            report = asyncio.run(soak(url, server.pid, args.checkpoint, args.chunk_ms, seconds))
        finally:
            server.terminate()
    assert server.returncode == 0, f"the server ended with {server.returncode}"
    tell(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


async def soak(url: str, pid: int, checkpoint: str, chunk_ms: int, seconds: float) -> dict[str, Any]:
    """Return a row for each minute of audio, and what the visitors got."""
    from streaming_wavlm import corpus
    from streaming_wavlm.client import AsyncClient
    from streaming_wavlm.protocol import Features

    speech = np.asarray(corpus.long_recording(900.0), dtype=np.float32)
    reference = Reference(checkpoint, chunk_ms)
    room = asyncio.Semaphore(50)  # packets ahead of the comparison: ten seconds
    rows: list[dict[str, Any]] = []
    minute, visits, heads = Minute(), 0, 0
    began = time.perf_counter()
    async with AsyncClient(url, encoding="float32", heads=served(url)) as client:

        async def speak() -> None:
            for number in range(round(seconds * RATE / PACKET)):
                await room.acquire()
                place = number * PACKET % (len(speech) - PACKET)
                packet = speech[place : place + PACKET]
                reference.packets.append(packet)
                await client.send(packet)
            await client.flush()

        speaking = asyncio.create_task(speak())
        async for event in client.until_end():
            if not isinstance(event, Features):
                heads += event["type"] == "head"
                continue
            frames = event.array.shape[1]
            minute.hear(event.array[0], await reference.take(frames, room), event.compute_us / 1e3)
            at = (event.position + frames) / 50
            if at >= VISIT_EVERY * (visits + 1):
                visits += await visit(url, speech[: 2 * RATE])
            if at >= 60 * (len(rows) + 1):
                rows.append({"minute": len(rows) + 1, "rss_mib": rss(pid), **minute.row()})
                minute = Minute()
                print(rows[-1], flush=True)
        await speaking
    wall = time.perf_counter() - began
    await asyncio.sleep(0.5)
    return {
        "seconds": at, "wall": wall, "visits": visits, "heads": heads, "rows": rows,
        "open_after": gauge(url, "streams"), "errors": gauge(url, "errors_total"),
    }  # fmt: skip


class Reference:
    """The same stream through the model in this process."""

    def __init__(self, checkpoint: str, chunk_ms: int) -> None:
        import torch

        import streaming_wavlm as sw

        torch.set_num_threads(1)
        self._session = sw.StreamSession(sw.load(checkpoint, chunk_ms=chunk_ms), layers=(-1,))
        self._frames: list[Audio] = []
        self.packets: deque[Audio] = deque()

    async def take(self, frames: int, room: asyncio.Semaphore) -> Audio:
        """Return the next frames, ``[frames, dim]``."""
        while sum(map(len, self._frames)) < frames:
            if self.packets:
                self._frames.append(self._session.push(self.packets.popleft())[0].numpy())
                room.release()
            else:
                self._frames.append(self._session.finish()[0].numpy())
            await asyncio.sleep(0)
        together = np.concatenate(self._frames)
        self._frames = [together[frames:]]
        return together[:frames]


class Minute:
    """What was heard in a minute of audio."""

    def __init__(self) -> None:
        self.error = 0.0
        self.latencies: list[float] = []

    def hear(self, got: Audio, expected: Audio, latency: float) -> None:
        """Compare a chunk."""
        self.error = max(self.error, float(np.abs(got - expected).max()))
        self.latencies.append(latency)

    def row(self) -> dict[str, float]:
        """Return the largest difference and the server's latency."""
        p50, p95 = np.percentile(self.latencies, [50, 95])
        return {"error": self.error, "p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


async def visit(url: str, wave: Audio) -> int:
    """Come, say two seconds, leave."""
    from streaming_wavlm.client import AsyncClient

    async with AsyncClient(url, encoding="float32") as client:
        await client.send(wave)
        await client.flush()
        async for _ in client.until_end():
            pass
    return 1


def served(url: str) -> tuple[str, ...] | None:
    """Return the heads of a server."""
    with urllib.request.urlopen(f"{url}/healthz") as reply:
        names = tuple(one["name"] for one in json.load(reply)["heads"])
    return names or None


def gauge(url: str, name: str) -> float:
    """Return the sum of a metric's values."""
    with urllib.request.urlopen(f"{url}/metrics") as reply:
        text = reply.read().decode()
    return sum(float(v) for v in re.findall(rf"^streaming_wavlm_{name}(?:{{.*}})? ([\d.e+-]+)$", text, re.M))


def rss(pid: int) -> float:
    """Return the memory of a process in MiB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def tell(report: dict[str, Any]) -> None:
    """Print the summary."""
    rows = report["rows"]
    print(f"\n{report['seconds']:.0f} s of audio in {report['wall']:.0f} s, {report['visits']} visitors")
    print("| after | server's memory | largest difference | latency p50, p95 |")
    print("|---|---|---|---|")
    for row in rows:
        if row["minute"] in (1, 2, 5) or row["minute"] % 10 == 0:
            print(
                f"| {row['minute']} min | {row['rss_mib']:.0f} MiB | {row['error']:.1e} "
                f"| {row['p50_ms']}, {row['p95_ms']} ms |"
            )
    settled = [row["rss_mib"] for row in rows[len(rows) // 6 :]]
    drift = np.polyfit(np.arange(len(settled)), settled, 1)[0] * 60 if len(settled) > 1 else 0.0
    print(
        f"memory after the first sixth: {min(settled):.1f} to {max(settled):.1f} MiB, "
        f"{drift:+.2f} MiB an hour"
    )
    print(f"streams left open: {report['open_after']:.0f}, errors: {report['errors']:.0f}")


if __name__ == "__main__":
    main()
