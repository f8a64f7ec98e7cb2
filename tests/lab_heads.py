"""Small heads of every kind, for tests."""

from __future__ import annotations

from typing import Any

import torch

from streaming_wavlm.heads import Head, HeadConfig, Slot, build_head

DIM, LAYERS = 16, 2
COMMON: dict[str, Any] = {"dim": DIM, "layers": LAYERS, "chunk_ms": 80}
CONFIGS = {
    "words": HeadConfig(
        "words", "speech_commands", "pooled", (Slot("keyword", ("yes", "no", "other")),),
        projector=8, window_frames=10, **COMMON,
    ),
    "orders": HeadConfig(
        "orders", "fluent_commands", "pooled", (Slot("what", ("a", "b")), Slot("where", ("c", "d", "e"))),
        window_frames=7, normalize=True, **COMMON,
    ),
    "phones": HeadConfig(
        "phones", "phone_linear", "frames", (Slot("phone", ("SIL", "AA", "B")),), dim=DIM, layers=0
    ),
    "speakers": HeadConfig(
        "speakers", "diarization", "activity", (Slot("speech", ("speaker 1", "speaker 2")),),
        recurrent=(1, 8), restart_frames=9, **COMMON,
    ),
}  # fmt: skip


def head(name: str, seed: int = 0) -> Head:
    """A head with random weights that tell frames apart."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = build_head(CONFIGS[name])
        for parameter in made.parameters():
            parameter.data += 0.5 * torch.randn_like(parameter)
    return made


def offline(one: Head, hidden: list[torch.Tensor], end: int) -> torch.Tensor:
    """What a head must say of the chunk that ends at a frame: computed from the whole recording.

    For heads that say something at every frame, what they say of all frames up to there.
    """
    config = one.config
    mixed = one.mix([layer[:end] for layer in hidden])
    if config.kind == "pooled":
        logits = one.after(one.before(one.projector(mixed))[-config.window_frames :].mean(dim=0))
        sizes = [len(slot.labels) for slot in config.slots]
        return torch.cat([part.softmax(-1) for part in torch.split(logits, sizes)])
    if config.kind == "frames":
        return one.linear(mixed).softmax(-1)
    pieces = [one.linear(one.rnn(piece[None])[0][0]) for piece in mixed.split(config.restart_frames)]
    return torch.cat(pieces).sigmoid()
