"""What each knob of the mini recipe does: short runs that differ in one thing, probed alike.

Every run goes through the same recordings in the same order with the same seed. A run that is there already
is not done again, so that a list can be made longer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Pairs of the recipe by their place: mel, Whisper by value (three), as units (two), speaker.
VALUES, UNITS, VOICE = (1, 2, 3), (4, 5), 6
VARIANTS: dict[str, list[str]] = {
    "as it is": [],
    "one chunk size, 400 ms": ["chunks=[{ms: 400}]"],
    "teachers hear the noise, too": ["augment.clean_teacher=false"],
    "no noise, no other voices": ["augment.noise_share=0", "augment.overlap_share=0"],
    "blocks of 4 frames (lookahead 3)": ["student.config.lookahead_size=3"],
    "kernel-1 padding": ["student.config.front_pad=kernel-1"],
    "Whisper by value only": ["-units"],
    "Whisper as units only": ["-values"],
    "L1 + cosine for MSE": [f"objective.pairs.{place}.loss=l1_cosine" for place in VALUES],
    "targets not normalised per frame": [
        f"objective.pairs.{place}.target_norm=channel" for place in VALUES + UNITS
    ],
    "no speaker encoder": ["-voice"],
    "speaker through a linear head": [
        f"objective.pairs.{VOICE}.head=linear", f"objective.pairs.{VOICE}.pool=mean_std",
    ],
}  # fmt: skip
_LEFT_OUT = {"-units": UNITS, "-values": VALUES, "-voice": (VOICE,)}


def overrides(words: list[str], recipe: dict[str, object]) -> list[str]:
    """Return a variant's words for the command line; a word in ``_LEFT_OUT`` takes pairs off the recipe."""
    left_out = [place for word in words if word in _LEFT_OUT for place in _LEFT_OUT[word]]
    if not left_out:
        return words
    pairs = recipe["objective"]["pairs"]  # type: ignore[index]
    kept = [pair for place, pair in enumerate(pairs) if place not in left_out]
    asked = {pair["teacher"] for pair in kept}
    teachers = [teacher for teacher in recipe["teachers"] if teacher["name"] in asked]  # type: ignore[attr-defined]
    return [
        *(word for word in words if word not in _LEFT_OUT),
        f"objective.pairs={json.dumps(kept)}",
        f"teachers={json.dumps(teachers)}",
    ]


def main() -> None:
    """Train and probe every variant, and print a table."""
    import yaml

    from streaming_wavlm.distill.recipe import shipped_recipes

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="what data.root of the recipe is")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="these alone")
    parser.add_argument("--tasks", nargs="+", default=["kw", "digits", "er", "asv"])
    parser.add_argument("--chunks", nargs="+", default=["200", "400", "whole"])
    parser.add_argument("words", nargs="*", help="key=value for every run, such as teachers.0.source=PATH")
    args = parser.parse_args()
    recipe = yaml.safe_load(shipped_recipes()["mini"].read_text(encoding="utf-8"))
    print(
        f"| variant, {args.steps} steps | "
        + " | ".join(f"{t} {c}" for t in args.tasks for c in args.chunks)
        + " |"
    )
    print("|---|" + "---|" * len(args.tasks) * len(args.chunks))
    for name, words in VARIANTS.items():
        if args.only and name not in args.only:
            continue
        folder = args.out / "".join(letter if letter.isalnum() else "-" for letter in name)
        command = [
            sys.executable, "-m", "streaming_wavlm", "distill", "--config", "mini", f"out={folder}",
            f"steps={args.steps}", f"data.root={args.data}", f"validation.every={args.steps}",
            *overrides(words, recipe), *args.words,
        ]  # fmt: skip
        if not (folder / "final").is_dir():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        probes = folder / "probes.json"
        if not probes.is_file():
            probe = [
                sys.executable, str(HERE / "probes.py"), str(folder / "final"), "--data",
                str(args.data / "bench"), "--chunks", *args.chunks,
                "--tasks", *args.tasks, "--json", str(probes),
            ]  # fmt: skip
            subprocess.run(probe, check=True, stdout=subprocess.DEVNULL)
        found = {
            (row["task"], row["chunk"]): row["error"]
            for row in json.loads(probes.read_text(encoding="utf-8"))
        }
        cells = [f"{found[task, chunk]:.1f}" for task in args.tasks for chunk in args.chunks]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
