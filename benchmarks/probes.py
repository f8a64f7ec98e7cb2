"""Linear probes on frozen features: what a checkpoint knows, task by task and chunk size by chunk size.

Mean and standard deviation over time of each layer, standardised, into a logistic regression; the layer and
the regularisation are chosen on the dev split and the test split is scored once. Verification compares
standardised summaries by their cosine, without training; the best layer is reported.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

import streaming_wavlm as sw
from streaming_wavlm import StreamingWavLM

Row = dict[str, str]
Features = npt.NDArray[np.float32]
Extract = Callable[[Tensor, Tensor], tuple[tuple[Tensor, ...], Tensor]]

BATCH_SECONDS = 60
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
BACKGROUND = 120


@dataclass(frozen=True)
class Classification:
    """A classification of recordings: which set, which label, which split."""

    folder: str
    label: Callable[[Row], str]
    split: Callable[[list[Row]], list[str]] = lambda rows: [row["split"] for row in rows]
    keep: Callable[[Row], bool] = lambda row: True


def by_turn(rows: list[Row]) -> list[str]:
    """Split each speaker's recordings in their order: seven to train, one to choose, the rest to test."""
    seen: dict[str, int] = defaultdict(int)
    splits = []
    for row in rows:
        place = seen[row["speaker"]]
        seen[row["speaker"]] += 1
        splits.append("train" if place < 7 else "dev" if place == 7 else "test")
    return splits


TASKS = {
    "kw": Classification("wakewords", lambda row: row["keyword"]),
    "digits": Classification("fsdd", lambda row: row["digit"]),
    "sid": Classification("so762", lambda row: row["speaker"], by_turn),
    "er": Classification("emodb", lambda row: row["emotion"]),
    "ic": Classification(
        "barista_intent",
        lambda row: str(json.loads(row["slots"])["coffeeDrink"]),
        keep=lambda row: "coffeeDrink" in json.loads(row["slots"]),
    ),
}


def manifest(data: Path, name: str) -> list[Row]:
    """Read the rows of one set."""
    with (data / name / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def batches(rows: list[Row]) -> Iterator[list[int]]:
    """Yield the numbers of recordings of about the same length, about a minute of them at a time."""
    order = sorted(range(len(rows)), key=lambda number: float(rows[number]["seconds"]))
    batch: list[int] = []
    for number in order:
        if batch and float(rows[number]["seconds"]) * (len(batch) + 1) > BATCH_SECONDS:
            yield batch
            batch = []
        batch.append(number)
    yield batch


@torch.inference_mode()
def summaries(extract: Extract, data: Path, rows: list[Row]) -> Features:
    """Return mean and standard deviation over time, ``[recordings, layers, 2 * dim]``."""
    found: dict[int, Features] = {}
    for batch in batches(rows):
        wavs = [torch.from_numpy(soundfile.read(data / rows[i]["path"], dtype="float32")[0]) for i in batch]
        lengths = torch.tensor([len(wav) for wav in wavs])
        layers, frames = extract(torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True), lengths)
        for place, number in enumerate(batch):
            hidden = [layer[place, : int(frames[place])] for layer in layers]
            found[number] = np.stack(
                [torch.cat([h.mean(0), h.std(0, unbiased=False)]).numpy() for h in hidden]
            )
    return np.stack([found[number] for number in range(len(rows))])


def streaming(model: StreamingWavLM, chunk_ms: int | None) -> Extract:
    """Features at a chunk size; of the whole recording when None."""

    def extract(wavs: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        hop_ms = 20
        output = model(wavs, lengths, chunk_ms=chunk_ms or -(-wavs.shape[1] // 320) * hop_ms)
        return output.hidden_states, output.lengths

    return extract


def filterbank(wavs: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """80 log-mel bands every 10 ms with first and second differences, as one layer."""
    from streaming_wavlm.distill.teachers.mel import mel_filters

    rows = []
    for wav, length in zip(wavs, lengths.tolist(), strict=True):
        samples = F.pad(wav[:length], (0, max(0, 1600 - length)))
        spectrum = torch.stft(samples, 400, 160, window=torch.hann_window(400), return_complex=True)
        mel = (spectrum.abs().square()[:, :-1].T @ mel_filters(80) + 1e-6).log()
        first = _difference(mel)
        rows.append(torch.cat([mel, first, _difference(first)], dim=1))
    frames = torch.tensor([len(row) for row in rows])
    return (torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),), frames


def _difference(frames: Tensor) -> Tensor:
    return F.pad(frames[2:] - frames[:-2], (0, 0, 1, 1)) / 2


def classify(extract: Extract, data: Path, task: Classification) -> dict[str, Any]:
    """Return the error on the test split, in percent, and what was chosen on the dev split."""
    rows = [row for row in manifest(data, task.folder) if task.keep(row)]
    features, splits = summaries(extract, data, rows), np.array(task.split(rows))
    labels = np.array([task.label(row) for row in rows])
    best = (-1.0, 0.0, 0, 0.0)
    for layer in range(features.shape[1]):
        scaled = StandardScaler().fit(features[splits == "train", layer]).transform(features[:, layer])
        for strength in STRENGTHS:
            probe = LogisticRegression(C=strength, max_iter=300)
            probe.fit(scaled[splits == "train"], labels[splits == "train"])
            dev, test = (probe.score(scaled[splits == s], labels[splits == s]) for s in ("dev", "test"))
            best = max(best, (dev, test, layer, strength), key=lambda one: one[0])
    number = int((splits == "test").sum())
    low, high = wilson(1 - best[1], number)
    return {
        "error": round(100 * (1 - best[1]), 2), "low": round(100 * low, 2), "high": round(100 * high, 2),
        "dev_error": round(100 * (1 - best[0]), 2), "layer": best[2] + 1, "n_test": number,
    }  # fmt: skip


def verify(extract: Extract, data: Path) -> dict[str, Any]:
    """Return the equal error rate of same-speaker trials, in percent, and the layer that gave it."""
    rows = manifest(data, "ls_test_other")
    features = summaries(extract, data, rows)
    background = summaries(extract, data, manifest(data, "ls_251spk")[:BACKGROUND])
    speakers = np.array([row["speaker"] for row in rows])
    first, second = np.triu_indices(len(rows), 1)
    same = speakers[first] == speakers[second]
    rates = []
    for layer in range(features.shape[1]):
        scaled = (features[:, layer] - background[:, layer].mean(0)) / (background[:, layer].std(0) + 1e-6)
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        hits = same[np.argsort(-(scaled @ scaled.T)[first, second])]
        accepted, rejected = np.cumsum(~hits) / (~same).sum(), 1 - np.cumsum(hits) / same.sum()
        rates.append(100 * accepted[np.argmin(abs(accepted - rejected))])
    layer = int(np.argmin(rates))
    return {"error": round(rates[layer], 2), "layer": layer + 1, "n_test": len(first)}


def wilson(share: float, number: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was counted on so many (Wilson, 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    return max(0.0, centre - half), min(1.0, centre + half)


def main() -> None:
    """Probe each kind of features and print a line of JSON for each result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", nargs="+", help="fbank, or what streaming_wavlm.load takes")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the sets, each with a manifest.tsv"
    )
    parser.add_argument("--chunks", nargs="+", default=["200", "400", "whole"], help="milliseconds, or whole")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS, "asv"], choices=[*TASKS, "asv"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = []
    for name in args.features:
        model = None if name == "fbank" else sw.load(name)
        for chunk in args.chunks if model else ["-"]:
            extract = streaming(model, None if chunk == "whole" else int(chunk)) if model else filterbank
            for task in args.tasks:
                found = (
                    verify(extract, args.data) if task == "asv" else classify(extract, args.data, TASKS[task])
                )
                results.append({"features": name, "chunk": chunk, "task": task, **found})
                print(json.dumps(results[-1]), flush=True)
    if args.json:
        temporary = args.json.with_suffix(".part")
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
