"""The recipe ``wavlm-large-12`` at full size for a few steps, with a random teacher and embedded speech.

    python benchmarks/full_size.py --out runs/full-size --steps 3 --batch-seconds 8

It proves that the parts fit together at their real size and what a step costs here; the student learns
nothing. Its folder takes some 5 GB. The teacher has the shape of WavLM-Large's first 12 layers: the trainer
takes the deeper ones off.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch

import streaming_wavlm as sw
from streaming_wavlm import corpus
from streaming_wavlm.distill.plan import plan
from streaming_wavlm.distill.recipe import load_recipe
from streaming_wavlm.distill.teachers.hub_models import import_transformers
from streaming_wavlm.distill.trainer import Trainer

LAYERS = 12


def make_teacher(folder: Path) -> None:
    """Save a WavLM of WavLM-Large's shape, 12 layers deep, with random weights."""
    transformers = import_transformers()
    config = transformers.WavLMConfig(
        hidden_size=1024,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        intermediate_size=4096,
        conv_dim=[512] * 7,
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        num_buckets=320,
        max_bucket_distance=800,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    torch.manual_seed(0)
    transformers.WavLMModel(config).save_pretrained(folder)


def main() -> None:
    """Run both stages for a few steps and print what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch-seconds", type=float, default=8.0)
    parser.add_argument("--precision", default="auto", choices=("auto", "32-true", "bf16-mixed"))
    parser.add_argument(
        "--no-plan", action="store_true", help="leave the plans out, which do steps of their own"
    )
    arguments = parser.parse_args()
    teacher = arguments.out / "teacher"
    if not (teacher / "config.json").is_file():
        make_teacher(teacher)
    changes = {
        "out": arguments.out / "run",
        "steps": arguments.steps,
        "accumulate": 1,
        "data.train": [{"path": str(corpus.folder()), "kind": "folder"}],
        "data.dev": [],
        "data.batch_seconds": arguments.batch_seconds,
        "data.max_seconds": arguments.batch_seconds,
        "data.min_seconds": 0.5,
        "data.workers": 0,
        "teachers.0.source": teacher,
        "schedule.warmup": 0,
        "logging.every": 1,
        "checkpoints.keep": 1,
        "checkpoints.export_pt": "false",
        "runtime.precision": arguments.precision,
    }
    words = [f"{key}={value}" for key, value in changes.items()]
    words += [f"stages.positional.steps={arguments.steps}", f"stages.positional.student.source={teacher}"]
    told: dict[str, Any] = {}
    for recipe in load_recipe("wavlm-large-12", words):
        if not arguments.no_plan:
            print(plan(recipe), flush=True)
        began = time.monotonic()
        final = Trainer(recipe, progress=False).run()
        lines = [json.loads(line) for line in (final.parent / "train.jsonl").read_text().splitlines()]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        told[recipe.name] = {
            "losses": [round(line["loss"], 4) for line in lines],
            "gradients": [round(line["gradient"], 3) for line in lines],
            "seconds_in_all": round(time.monotonic() - began, 1),
            "peak_gib": round(peak, 2),
        }
        print(json.dumps({recipe.name: told[recipe.name]}), flush=True)
    student = sw.load(final)
    print(
        f"{student.num_parameters() / 1e6:.1f} M parameters, {student.provenance['steps']} steps, reads back"
    )


if __name__ == "__main__":
    main()
