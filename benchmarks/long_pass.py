"""One pass over a recording, short and long: time for a second of audio, and memory beyond what comes out.

python benchmarks/long_pass.py --seconds 10 60 600 1800
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded

import torch

from streaming_wavlm import corpus, load
from streaming_wavlm.bench.memory import resident_mib
from streaming_wavlm.bench.timing import Spread, machine, ratios, take_turns


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", "--checkpoint", default="mini")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60, 600, 1800])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load(arguments.checkpoint)
    lengths = sorted(arguments.seconds)
    speech = torch.from_numpy(corpus.long_recording(lengths[-1]))[None]
    passes = {length: speech[:, : length * 16_000] for length in lengths}
    print(
        f"{machine()}, {arguments.threads} threads; {arguments.checkpoint}, {model.config.chunk_ms} ms chunks"
    )
    with torch.inference_mode():
        longest, first = (model(passes[length]).hidden_states[-1] for length in (lengths[-1], lengths[0]))
    # The end of a recording cut in the middle of speech has no audio after it: its last frames differ.
    settled = first.shape[1] - model.config.chunk_frames - 2
    difference = float((longest[:, :settled] - first[:, :settled]).abs().max())
    print(f"the longest begins as the shortest: largest difference {difference:.1e}")
    if not difference < 1e-4:
        raise SystemExit("a long pass does not give what a short one gives")
    turns: dict[int, Callable[[], tuple[float, float]]] = {
        length: partial(_measured, partial(model, wav), length) for length, wav in passes.items()
    }
    found = take_turns(turns, arguments.rounds)
    times = {length: [[seconds] for seconds, _ in turns] for length, turns in found.items()}
    print("\n| recording | ms for a second of audio | ÷ the shortest | features | memory beside them |")
    print("| --- | --- | --- | --- | --- |")
    width = 4 * model.config.num_layers * model.config.dim / 2**20  # MiB of a frame
    for length in lengths:
        spread = Spread.of([1000 * turn[0] for turn in times[length]])
        ratio = ratios(times[length], times[lengths[0]])
        features = width * model.config.num_frames(length * 16_000)
        beside = max(grown for _, grown in found[length]) - features
        print(
            f"| {length} s | {spread.median:.2f} ({spread.low:.2f} … {spread.high:.2f}) | {ratio.median:.2f} "
            f"({ratio.low:.2f} … {ratio.high:.2f}) | {features:.0f} MiB | {beside:.0f} MiB |"
        )


@torch.inference_mode()
def _measured(run: Callable[[], object], seconds: int) -> tuple[float, float]:
    """Return the time for a second of audio, and by how much memory grew at most [MiB]."""
    before, peak, over = resident_mib(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    kept = run()
    took = time.perf_counter() - begin
    over.set()
    watcher.join()
    peak = max(peak, resident_mib())
    del kept
    return took / seconds, peak - before


if __name__ == "__main__":
    main()
