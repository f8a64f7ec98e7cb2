"""``streaming-wavlm info``: what a checkpoint is."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .options import CHECKPOINT_HELP, add_model_options, load_model, new_parser

if TYPE_CHECKING:
    from ..config import StreamingWavLMConfig
    from ..engines import Choice
    from ..model import StreamingWavLM

_WIDTH = 80  # of a value of the provenance
_EPILOG = """\
examples:
  streaming-wavlm info mini
  streaming-wavlm info checkpoint.pt -g config.yaml --chunk-ms 200
  streaming-wavlm info someone/their-streaming-wavlm --json
"""
_LABEL = 14


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subparsers, "info", "show a checkpoint's architecture, latency and provenance", _EPILOG
    )
    parser.add_argument("checkpoint", help=CHECKPOINT_HELP)
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what the checkpoint is, and what would run it here: measured the first time."""
    model = load_model(arguments, arguments.checkpoint)
    if arguments.json:
        print(json.dumps(describe(model, arguments.checkpoint), indent=2))
    else:
        for label, text in _lines(model, arguments.checkpoint):
            print(f"{label:<{_LABEL}}{text}".rstrip())
    return 0


def describe(model: StreamingWavLM, source: str) -> dict[str, Any]:
    """Return what there is to know of a model, JSON-ready."""
    config = model.config
    latency = None
    if config.causal:
        latency = {**dataclasses.asdict(config.latency), "algorithmic_ms": config.latency.algorithmic_ms}
    return {
        "source": source,
        "parameters": model.num_parameters(),
        "config": config.to_dict(),
        "fingerprint": config.fingerprint(),
        "latency": latency,
        "engine": dataclasses.asdict(_choice(model)) if config.causal else None,
        "provenance": model.provenance,
        "defaults": list(model.defaults),
    }


def _lines(model: StreamingWavLM, source: str) -> Iterator[tuple[str, str]]:
    from ..checkpoint import is_random

    config = model.config
    yield "checkpoint", source
    if is_random(model.provenance):
        yield "", "random weights: it is untrained, and its features mean nothing"
    yield "parameters", f"{model.num_parameters() / 1e6:.1f} M"
    yield from _architecture(config)
    if config.causal:
        latency = config.latency
        yield "chunk", f"{config.chunk_ms} ms, {config.chunk_frames} frames"
        yield (
            "latency",
            (
                f"{latency.algorithmic_ms:g} ms algorithmic: {latency.chunk_ms:g} ms for the chunk, "
                f"{latency.front_end_ms:g} ms in the front end"
            ),
        )
        yield from _engine(_choice(model))
    else:
        yield "latency", "the whole recording: this is a bidirectional reference, which cannot stream"
    label = "provenance"
    for key, value in model.provenance.items():
        yield label, f"{key}: {_short(value)}"
        label = ""
    if model.defaults:
        yield "defaults", ", ".join(model.defaults)
        yield "", "(neither in the tensors nor stated, so taken as documented; -g gives others)"
    else:
        yield "defaults", "none: every field was read off the tensors or stated"


def _choice(model: StreamingWavLM) -> Choice:
    from ..engines import choose, make_engine

    return choose(model, "fp32", make_engine)


def _engine(choice: Choice) -> Iterator[tuple[str, str]]:
    """Say what engine="auto" is here, and why."""
    times = ", ".join(
        f"{name} {ms:.1f} ms" for name, ms in sorted(choice.step_ms.items(), key=lambda kv: kv[1])
    )
    threads = "1 thread" if choice.threads == 1 else f"{choice.threads} threads"
    yield "engine", f"{choice.engine}; a step in fp32 takes {times} ({threads})" if times else choice.engine
    for name, reason in choice.left_out.items():
        yield "", f"not {name}: {reason}"


def _short(value: Any) -> str:
    """Return a value on one line; a recipe would fill pages."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]} … (--json has all of it)"


def _architecture(config: StreamingWavLMConfig) -> Iterator[tuple[str, str]]:
    hop_ms = config.hop / 16
    channels, kernels, strides = map(_row, (config.hidden_dims, config.kernel_sizes, config.strides))
    yield "front end", f"{len(config.strides)} convolutions of {channels} channels, kernels {kernels}"
    yield (
        "",
        f"strides {strides}: a frame per {config.hop} samples, {hop_ms:g} ms; padding {config.front_pad}",
    )
    widths = f"width {config.dim}, {config.num_heads} heads, feed-forward {config.ffn_dim}"
    yield "transformer", f"{config.num_layers} layers, {widths}"
    convolution = f"a convolution of {config.conv_pos} frames in {config.conv_pos_groups} groups"
    buckets = f"{config.num_buckets} buckets up to a distance of {config.max_distance}"
    yield "", f"positions: {convolution}, {buckets}"
    if config.causal:
        ahead = config.lookahead_size
        seen = "its whole chunk" if ahead == "chunk" else f"its block of {config.block_frames} frames"
        window = f"window {config.window_size} frames ({config.window_size * hop_ms / 1000:g} s)"
        yield "attention", f"{window}; every frame sees {seen} and what came before"


def _row(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else " ".join(map(str, values))
