"""Put a trained student into the package as the embedded checkpoint, with a card that carries its figures.

python tools/embed_mini.py runs/mini/best --probes probes.json
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from streaming_wavlm.checkpoint.folder import write_checkpoint
from streaming_wavlm.checkpoint.safetensors_file import read_safetensors
from streaming_wavlm.distill.recipe import shipped_recipes
from streaming_wavlm.loading import EMBEDDED_FOLDER

TITLES = {
    "kw": ("wake words, 6 classes", "bench/wakewords", 4.0),
    "digits": ("spoken digits, 10 classes", "bench/fsdd", 3.0),
    "sid": ("speakers, 100 classes", "bench/so762", 7.5),
    "asv": ("same speaker or not, equal error rate", "bench/ls_test_other", 10.0),
    "er": ("emotions, 7 classes, German", "bench/emodb", 22.0),
    "ic": ("coffee orders, 10 classes", "bench/barista_intent", 40.0),
}
MAX_BYTES = 20 * 2**20

CARD = Path(__file__).with_name("mini_card.md")
REPOSITORY = Path(__file__).resolve().parent.parent

LICENCES = {
    "so762": "free for any purpose (speechocean762)",
    "ls_train_clean": "CC BY 4.0 (LibriSpeech)",
    "ls_251spk": "CC BY 4.0 (LibriSpeech)",
    "emodb": "CC0-1.0 (Berlin EmoDB)",
    "barista_intent": "Apache-2.0 (Picovoice)",
    "wakewords": "Apache-2.0 (Picovoice)",
    "fsdd": "CC BY-SA 4.0 (Free Spoken Digit Dataset)",
    "ami_diar": "CC BY 4.0 (AMI)",
    "asterisk": "CC BY-SA 3.0, CC BY 3.0 (Asterisk sounds, Debian)",
}


def trainings(provenance: dict[str, Any]) -> str:
    """Return a numbered line for each training that led here, the first one first."""
    chain = []
    while "recipe" in provenance:
        chain.append(provenance)
        provenance = provenance.get("started_from", {})
    return "\n".join(
        f"{number}. `streaming-wavlm distill --config {_recipe(one['recipe'])}, "
        f"seed {one['recipe']['seed']}: {one['steps']} steps, {one['hours_of_audio']:.1f} hours heard"
        for number, one in enumerate(reversed(chain), 1)
    )


def _recipe(recipe: dict[str, Any]) -> str:
    """Return the name of the recipe that ships, and which stage of it this was, as the end of a code span."""
    shipped = shipped_recipes()
    whole = Path(recipe["out"]).parent.name
    if recipe["name"] in shipped or whole not in shipped:
        return f"{recipe['name']}`"
    return f"{whole}`, stage `{recipe['name']}`"


def card(provenance: dict[str, Any], parameters: int, probes: list[dict[str, Any]]) -> str:
    """Return the model card."""
    data = provenance["data"]
    chunks = list(dict.fromkeys(str(row["chunk"]) for row in probes if row["features"] != "fbank"))
    found = {(row["features"] == "fbank", row["task"], str(row["chunk"])): row for row in probes}

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return "–"
        interval = f" ({row['low']:.1f} … {row['high']:.1f})" if "low" in row else ""
        return f"{row['error']:.1f}{interval}"

    rows = [
        f"| {title} ({folder}) | {cell(found.get((True, task, '-')))} | "
        + " | ".join(cell(found.get((False, task, chunk))) for chunk in chunks)
        + f" | ≤ {aim:g} |"
        for task, (title, folder, aim) in TITLES.items()
    ]
    kept = []
    for chunk in chunks[:-1]:
        shares = [
            (100 - found[False, task, chunk]["error"]) / (100 - found[False, task, chunks[-1]]["error"])
            for task in TITLES
            if (False, task, chunk) in found
        ]
        kept.append(f"at {chunk} ms {100 * min(shares):.1f} %")
    sources: dict[str, float] = {}
    for source in data["sources"]:
        name = Path(source["path"]).parent.name
        sources[name] = sources.get(name, 0.0) + source["hours"]
    return CARD.read_text(encoding="utf-8").format(
        parameters=f"{parameters / 1e6:.1f} M parameters",
        trainings=trainings(provenance),
        corpus=sum(sources.values()),
        recordings=sum(source["recordings"] for source in data["sources"]),
        data="\n".join(f"| {name} | {hours:.2f} | {LICENCES[name]} |" for name, hours in sources.items()),
        chunks=" | ".join(f"{chunk} ms" if chunk.isdigit() else chunk for chunk in chunks),
        dashes="|".join("---" for _ in chunks),
        rows="\n".join(rows),
        kept="Of its own whole-recording accuracy it keeps at least "
        + " and ".join(kept)
        + ", on every task.",
    )


def without_machine(value: Any) -> Any:
    """Return what a config says with absolute paths as they are seen from the repository."""
    if isinstance(value, dict):
        return {key: without_machine(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_machine(part) for part in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return os.path.relpath(value, REPOSITORY)
    return value


def main() -> None:
    """Check the student, copy it without this machine's paths, write its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path, help="the folder of a run's best or final student")
    parser.add_argument("--probes", type=Path, required=True, help="what benchmarks/probes.py --json wrote")
    parser.add_argument("--commit", help="the code that trained it, if it was no checkout")
    args = parser.parse_args()
    import streaming_wavlm as sw

    model = sw.load(args.student)
    size = (args.student / "model.safetensors").stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"the checkpoint has {size} bytes, at most {MAX_BYTES} may be shipped")
    text = card(model.provenance, model.num_parameters(), json.loads(args.probes.read_text(encoding="utf-8")))
    provenance = without_machine(model.provenance)
    if args.commit:
        provenance["software"]["commit"] = args.commit
    tensors, _ = read_safetensors(args.student / "model.safetensors")
    write_checkpoint(EMBEDDED_FOLDER, tensors, model.config, provenance, model.defaults)
    (EMBEDDED_FOLDER / "README.md").write_text(text, encoding="utf-8")
    print(f"{EMBEDDED_FOLDER}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
