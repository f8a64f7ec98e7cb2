"""Train the head that comes with the package, English digits on the embedded checkpoint.

python tools/train_head.py DATA

DATA holds bench/fsdd, bench/so762 and bench/noise (manifest.tsv and audio). S3PRL trains the head as it
trains any: keyword spotting, with the ten digits in the places of its ten words, and other people's speech
as unknown words. The recordings are cut and mixed so that they sound like what a running window of a
second hears.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from streaming_wavlm.heads import EMBEDDED_HEADS, Head, is_head, save_head
from streaming_wavlm.heads.config import Slot
from streaming_wavlm.loading import load
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.run import run_task
from streaming_wavlm.superb.trained_head import trained_head

NAME = "digits"
UPSTREAM = "streaming_wavlm_400ms"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHOWN = {"_unknown_": "other speech", "_silence_": "silence"}
SECOND = 16_000
# How often a recording is heard in training, each time at another place, in other noise, at another loudness,
# and but for the first at another speed.
VARIANTS = 5
UNKNOWN = {"train": 400, "dev": 60, "test": 60}

CARD = Path(__file__).with_name("head_card.md")

Wave = npt.NDArray[np.float32]
Row = dict[str, str]


def rows(data: Path, name: str) -> list[Row]:
    """Return the manifest of a set."""
    with (data / "bench" / name / "manifest.tsv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def heard(wave: Wave, noise: Wave, rng: np.random.Generator) -> Wave:
    """Return a second in which a recording is somewhere, in noise, at some loudness."""
    wave = wave[:SECOND]
    second = np.zeros(SECOND, np.float32)
    place = int(rng.integers(0, SECOND - len(wave) + 1))
    second[place : place + len(wave)] = wave
    start = int(rng.integers(0, len(noise) - SECOND))
    background = noise[start : start + SECOND]
    ratio = 10 ** (-rng.uniform(12, 45) / 20) * level(wave) / (level(background) + 1e-9)
    mixed = (second + ratio * background) * 10 ** (rng.uniform(-14, 4) / 20)
    return np.clip(mixed, -1, 1).astype(np.float32)


def another_voice(wave: Wave, rng: np.random.Generator) -> Wave:
    """Return a recording played faster or slower: six voices are few, and pitch tells them apart."""
    speed = rng.uniform(0.82, 1.22)
    places = np.arange(0, len(wave) - 1, speed)
    return np.interp(places, np.arange(len(wave)), wave).astype(np.float32)


def level(wave: Wave) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave))))


def faint(seed: int) -> Wave:
    """Return a minute of a quiet room, or of a microphone that is switched off."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(60 * SECOND)
    wave = white if seed % 2 else np.convolve(white, np.ones(24) / 5, "same")
    return (10 ** (-rng.uniform(55, 80) / 20) * wave).astype(np.float32)


def manifest(data: Path, folder: Path) -> Path:
    """Write the recordings and their table."""
    rng = np.random.default_rng(0)
    table: list[list[str]] = []

    def save(name: str, wave: Wave, split: str, label: str, kind: str = "") -> None:
        soundfile.write(folder / f"{name}.wav", wave, SECOND, subtype="PCM_16")
        table.append([name, f"{name}.wav", split, label, kind])

    def read(row: Row) -> Wave:
        return np.asarray(soundfile.read(data / "bench" / row["path"], dtype="float32")[0])

    noises = {"train": [], "test": []}  # type: dict[str, list[Wave]]
    for row in rows(data, "noise"):
        split = "test" if row["split"] == "test" else "train"
        noises[split].append(read(row))
        save(f"noise-{row['id']}", noises[split][-1], split, "", "noise")
    for seed in range(6):
        split = "test" if seed < 2 else "train"
        save(f"noise-faint-{seed}", faint(seed), split, "", "noise")
    backgrounds = {split: np.concatenate(waves) for split, waves in noises.items()}
    backgrounds["dev"] = backgrounds["train"]
    for row in rows(data, "fsdd"):
        wave, split = read(row), row["split"]
        for variant in range(VARIANTS if split == "train" else 1):
            name = f"digit-{row['id']}-{variant}"
            spoken = another_voice(wave, rng) if variant else wave
            save(name, heard(spoken, backgrounds[split], rng), split, WORDS[int(row["digit"])])
    for split, count in UNKNOWN.items():
        speech = [row for row in rows(data, "so762") if row["split"] == split and float(row["seconds"]) > 1.5]
        for number in range(count):
            wave = read(speech[number % len(speech)])
            start = int(rng.integers(0, len(wave) - SECOND))
            cut = heard(wave[start : start + SECOND], backgrounds[split], rng)
            save(f"other-{split}-{number}", cut, split, "_unknown_")
    path = folder / "manifest.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["id", "path", "split", "label", "kind"])
        writer.writerows(table)
    return path


def may_replace(folder: Path) -> bool:
    """Tell whether a head may be put into the place of a folder: there is none, or it is a head or empty."""
    return (
        not folder.exists() or is_head(folder.absolute()) or (folder.is_dir() and not any(folder.iterdir()))
    )


def put(head: Head, card: str, folder: Path) -> None:
    """Put a head and its card into the place of a folder, whole or not at all."""
    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    save_head(head, fresh)
    (fresh / "README.md").write_text(card, encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Make the corpus, train, evaluate, convert, ship."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=EMBEDDED_HEADS / NAME, help="default: the package")
    args = parser.parse_args()
    if not may_replace(args.out):
        parser.error(f"--out {args.out} is there and is no head; give another folder, or take it away")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "audio").mkdir()
        corpus = prepare("speech_commands", str(manifest(args.data, folder / "audio")), folder / "corpus")
        os.environ["STREAMING_WAVLM_FEATURES"] = str(folder / "features")
        result = run_task(
            "speech_commands",
            UPSTREAM,
            config=corpus.config,
            folder=folder / "exp",
            ckpt="mini",
            override={
                "config.runner.total_steps": args.steps,
                "config.downstream_expert.modelrc.projector_dim": 128,
            },
        )
        best = sorted((folder / "exp").glob("dev-best.ckpt"))
        head = trained_head(best[-1] if best else folder / "exp", NAME)
        (question,) = head.config.slots
        labels = tuple(SHOWN.get(label, label) for label in question.labels)
        head.config = replace(
            head.config, slots=(Slot("digit", labels),), weights=load("mini", chunk_ms=400).mark()
        )
        card = CARD.read_text(encoding="utf-8").format(
            accuracy=result.score, chance=corpus.chance, steps=args.steps
        )
        put(head, card, args.out)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(
        f"{args.out}: accuracy {result.score:.1%} on the test split, chance {corpus.chance:.1%}, {size} bytes"
    )
    print(f"trained in {result.train_seconds:.0f} s, evaluated in {result.evaluate_seconds:.0f} s")


if __name__ == "__main__":
    main()
