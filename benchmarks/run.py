"""Print the benchmark tables; ``--json FILE`` keeps them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import long_stream
import step
import torch
from timing import machine


def main() -> None:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds (default: 15)")
    parser.add_argument("--threads", type=int, default=None, help="torch threads (default: torch's own)")
    parser.add_argument("--models", nargs="+", default=["mini", "large"], choices=["mini", "large"])
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    where = f"{machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, batch 1"
    print(f"{where}\n")

    print("One step, 10 s into a stream, beside recomputing the 10 s for the same frames (random weights)\n")
    print("| model | chunk | step (quartiles) | real-time factor | recompute ÷ step | largest difference |")
    print("|---|---|---|---|---|---|")
    steps = []
    for name in args.models:
        for row in step.measure(name, args.rounds):
            low, high = row["step_iqr_ms"]
            print(
                f"| {name} | {row['chunk_ms']} ms | {row['step_ms']} ms ({low} … {high}) | "
                f"{row['real_time_factor']} | {row['recompute_over_step']} × | "
                f"{row['largest_difference']:.1e} |",
                flush=True,
            )
            steps.append(row)

    aged = long_stream.measure(4 * args.rounds)
    young, old = aged["ages_minutes"]
    print(f"\nOne 400 ms step of mini in a stream {young} and {old} minutes old\n")
    print("| step, young | step, old | old ÷ young | process memory grew by | state |")
    print("|---|---|---|---|---|")
    print(
        f"| {aged['step_ms'][0]} ms | {aged['step_ms'][1]} ms | {aged['old_over_young']} | "
        f"{aged['memory_growth_mib']} MiB | {aged['state_mib']} MiB |"
    )
    if args.json:
        results = {"machine": where, "steps": steps, "long_stream": aged}
        temporary = args.json.with_suffix(".part")
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
