"""The named architectures and chunk sizes, as plain numbers."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # WavLM-Large's first twelve layers: 164.3 M parameters.
    "large": {},
    # The architecture of the embedded checkpoint: small enough to ship and to train on a laptop.
    "mini": {
        # Narrow where the rate is high: the first layers run at 3200 and 1600 steps a second.
        "hidden_dims": (64, 96, 128, 192, 256, 256, 256),
        "num_layers": 8,
        "dim": 256,
        "ffn_dim": 1024,
        "num_heads": 8,
        "front_pad": "kernel-stride",
    },
}

# Upstream suffix → chunk in milliseconds; the offline pass is a stream of 10 s chunks.
CHUNK_MS: dict[str, int] = {"200ms": 200, "400ms": 400, "800ms": 800, "1000ms": 1000, "offline": 10_000}
DEFAULT_CHUNK_MS = 400
# S3PRL's name → chunk in milliseconds; None leaves it to the checkpoint.
UPSTREAMS: dict[str, int | None] = {
    "streaming_wavlm": None,
    **{f"streaming_wavlm_{suffix}": chunk_ms for suffix, chunk_ms in CHUNK_MS.items()},
}
