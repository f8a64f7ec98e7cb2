"""What each knob of the mini recipe does: short runs that differ in one thing, probed alike.

Every run goes through the same recordings in the same order with the same seed. A run whose recipe is the one
asked for is not done again, nor is a probe, so that a list can be made longer; one of another recipe stays,
and the new one gets a folder of its own beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from streaming_wavlm.distill.recipe import Recipe, load_recipe, shipped_recipes
from streaming_wavlm.errors import ConfigError
from streaming_wavlm.experiment import build, read_values, to_yaml

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


def run_folder(out: Path, name: str, recipe: Recipe) -> Path:
    """Return the folder of a variant's run: the usual one, unless it holds a run of another recipe.

    Args:
        out: the folder of all runs.
        name: the variant.
        recipe: what is to be run; its ``out`` does not count.
    """
    usual = out / "".join(letter if letter.isalnum() else "-" for letter in name)
    if not (usual / "recipe.yaml").is_file() or _is_of(usual, recipe):
        return usual
    digest = hashlib.sha256(to_yaml(replace(recipe, out="")).encode()).hexdigest()
    return usual.with_name(f"{usual.name}-{digest[:8]}")


def _is_of(folder: Path, recipe: Recipe) -> bool:
    try:
        before = build(Recipe, read_values(folder / "recipe.yaml"))
    except ConfigError:
        return False
    return replace(before, out=recipe.out) == recipe


def train(folder: Path, words: Sequence[str]) -> None:
    """Train a variant unless that is done; what it complains about is shown."""
    if (folder / "final").is_dir():
        return
    (folder / "probes.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "streaming_wavlm", "distill", "--config", "mini", "--no-progress"]
    subprocess.run([*command, f"out={folder}", *words], check=True, stdout=subprocess.DEVNULL)


def probed(
    folder: Path, data: Path, tasks: Sequence[str], chunks: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Return the errors of a run, by task and chunk; only what was not probed before is."""
    path, new = folder / "probes.json", folder / "probes.new.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    for chunk in chunks:
        done = {row["task"] for row in rows if row["chunk"] == chunk}
        missing = [task for task in tasks if task not in done]
        if not missing:
            continue
        command = [
            sys.executable, str(HERE / "probes.py"), str(folder / "final"), "--data", str(data / "bench"),
            "--chunks", chunk, "--tasks", *missing, "--json", str(new),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows += json.loads(new.read_text(encoding="utf-8"))
        new.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        new.replace(path)
    return {(row["task"], row["chunk"]): row["error"] for row in rows}


def main() -> None:
    """Train and probe every variant, and print a table."""
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
    for name, changes in VARIANTS.items():
        if args.only and name not in args.only:
            continue
        words = [
            f"steps={args.steps}", f"data.root={args.data}", f"validation.every={args.steps}",
            *overrides(changes, recipe), *args.words,
        ]  # fmt: skip
        folder = run_folder(args.out, name, load_recipe("mini", words)[0])
        train(folder, words)
        found = probed(folder, args.data, args.tasks, args.chunks)
        cells = [f"{found[task, chunk]:.1f}" for task in args.tasks for chunk in args.chunks]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
