"""The embedded speech for speaker identification: four voices, equally often, and no prompt in two splits."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .... import corpus
from ....corpus import Clip
from ..records import Material, Utterance

_SHARES = {"train": 0.65, "dev": 0.15, "test": 0.2}


def voices(seed: int) -> Material:
    """Return the speech of each voice, named by prompt.

    The splits are by what is said: no prompt is in two of them, whoever says it. In each split every voice
    gives as many utterances as the one with the fewest, shared evenly among the languages that it speaks.

    Args:
        seed: of the choice of utterances and splits.
    """
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    chosen = {split: _balanced(clips, rng) for split, clips in _split(corpus.clips(), rng).items()}
    return Material(
        tuple(
            Utterance(clip.prompt, (clip.path,), split, speaker=clip.speaker, group=clip.language)
            for split, clips in chosen.items()
            for clip in clips
        ),
        notes=("four voices of telephone prompts, each from its own studio: easy to tell apart",),
    )


def _balanced(clips: Sequence[Clip], rng: random.Random) -> list[Clip]:
    """Return the same number of clips of each voice, shared evenly among its languages."""
    by_voice: dict[str, dict[str, list[Clip]]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        by_voice.setdefault(clip.speaker, {}).setdefault(clip.language, []).append(clip)
    size = min(sum(map(len, languages.values())) for languages in by_voice.values())
    chosen = []
    for _, languages in sorted(by_voice.items()):
        queues = [rng.sample(group, len(group)) for _, group in sorted(languages.items())]
        voice: list[Clip] = []
        while len(voice) < size:
            voice += [queue.pop() for queue in queues if queue][: size - len(voice)]
        chosen += voice
    return chosen


def _split(clips: Sequence[Clip], rng: random.Random) -> dict[str, list[Clip]]:
    """Return the clips of each split, which share no prompt."""
    prompts = sorted({clip.prompt for clip in clips})
    rng.shuffle(prompts)
    rank = {prompt: (i + 0.5) / len(prompts) for i, prompt in enumerate(prompts)}
    splits, begin = {}, 0.0
    for split, share in _SHARES.items():
        splits[split] = [clip for clip in clips if begin <= rank[clip.prompt] < begin + share]
        begin += share
    return splits
