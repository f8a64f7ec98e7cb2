"""A corpus of synthetic voices, and a recipe that trains on it in seconds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streaming_wavlm.distill.recipe import Recipe, build_stages
from streaming_wavlm.experiment import merge
from tiny import TINY

RATE = 16_000
# Lists, as a recipe's YAML has them.
STUDENT: dict[str, Any] = {**TINY, "hidden_dims": [8] * 7, "lookahead_size": "chunk", "chunk_ms": 200}


def voice(samples: int, seed: int) -> np.ndarray:
    """A tone that wanders, in noise."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(rng.uniform(80, 400) * 2 * np.pi / RATE * (1 + 0.3 * np.sin(np.arange(samples) / 900)))
    wave = 0.2 * np.sin(phase) + 0.1 * np.sin(3 * phase) + 0.02 * rng.standard_normal(samples)
    return wave.astype(np.float32)


def make_corpus(folder: Path, count: int = 24, shortest: float = 0.3, longest: float = 1.0) -> Path:
    """Write recordings and a TSV manifest of them; every sixth is dev."""
    audio = folder / "voices" / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    manifest = folder / "voices" / "manifest.tsv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["id", "path", "split", "speaker", "seconds"])
        for number, seconds in enumerate(np.linspace(shortest, longest, count)):
            name = f"voice{number:02}"
            wave = voice(int(seconds * RATE), number)
            soundfile.write(audio / f"{name}.wav", wave, RATE, subtype="PCM_16")
            split = "dev" if number % 6 == 5 else "train"
            table.writerow([name, f"voices/audio/{name}.wav", split, f"s{number % 3}", len(wave) / RATE])
    return manifest


def recipe_values(root: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A recipe as YAML gives it: a tiny student learns the log-mel spectrum."""
    base = {
        "name": "toy",
        "out": str(out),
        "steps": 8,
        "seed": 3,
        "data": {
            "root": str(root),
            "train": [{"path": "voices/manifest.tsv", "where": {"split": ["train"]}}],
            "dev": [{"path": "voices/manifest.tsv", "where": {"split": ["dev"]}}],
            "batch_seconds": 2.0,
            "max_seconds": 0.8,
            "min_seconds": 0.1,
            "buckets": 3,
            "workers": 0,
        },
        "augment": {"noise_share": 0.3, "overlap_share": 0.3},
        "teachers": [{"name": "mel", "kind": "logmel", "mels": 8}],
        "student": {"preset": "mini", "config": STUDENT},
        "objective": {"pairs": [{"teacher": "mel", "student_layer": 2}]},
        "chunks": [{"ms": 100}, {"ms": 200}, {"ms": "whole"}],
        "schedule": {"warmup": 2},
        "validation": {"every": 4},
        "checkpoints": {"every": 2},
        "logging": {"every": 1},
        "runtime": {"accelerator": "cpu", "threads": 1},
    }
    return merge(base, changes)


def toy_recipe(root: Path, out: Path, **changes: Any) -> Recipe:
    return build_stages(recipe_values(root, out, **changes))[0]
