"""Speakers for verification: VoxCeleb1's training folder, and lists of trials for dev and test."""

from __future__ import annotations

from collections import defaultdict

import torch

from ....config import SAMPLE_RATE
from ....errors import SuperbError
from ...sox import apply_effects_tensor
from ..records import Material
from ..trials import trials
from ..workshop import Layout, Wave, Workshop
from .voxceleb import FIRST_ID

# What S3PRL does to every recording of this task before it looks at its length.
_TRIMMING = (("gain", "-3.0"), ("silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"))
# An x-vector needs 15 frames; a trial with less than this is about nothing.
_TRIAL_SECONDS = 0.5
# Training is from the first folder, all of it. Dev's voices are kept out of it: its trials point to another.
_FOLDERS = {"train": "dev/wav", "dev": "dev_trials/wav", "test": "test/wav"}
_FROM_ROOT = {"dev": "../../dev_trials/wav/", "test": ""}
_MOST_TRIALS = 20_000


def lay_out_verification(material: Material, shop: Workshop) -> Layout:
    """Write speech for speaker verification: train, dev and test have different speakers.

    Trials are all pairs of a split's utterances, or a sample where these are more than 20,000, targets first.

    Raises:
        SuperbError: a speaker is in two splits, or dev or test have no target or no other pair.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    paths: dict[str, dict[str, list[str]]] = {"train": {}, "dev": {}, "test": {}}
    least = int(shop.template["downstream_expert"]["datarc"]["vad_config"]["min_sec"]) / SAMPLE_RATE
    identities = _identities(material, shop)
    for utterance in material.utterances:
        if not utterance.speaker:
            continue
        splits[utterance.speaker].add(utterance.split)
        seconds = least if utterance.split == "train" else _TRIAL_SECONDS
        wave = shop.read(utterance)
        if wave is None:
            continue
        if _trimmed_seconds(wave) <= seconds:
            shop.skip(f"under {seconds:g} s without its silence")
            continue
        identity = identities[utterance.speaker]
        folder = f"{identity}/{shop.folder_name(utterance.group)}"
        relative = f"{folder}/{shop.name(utterance.id, folder)}.wav"
        shop.save(f"{_FOLDERS[utterance.split]}/{relative}", wave)
        paths[utterance.split].setdefault(identity, []).append(relative)
        shop.counts[utterance.split] += 1
    if shared := sorted(speaker for speaker, found in splits.items() if len(found) > 1):
        raise SuperbError(
            "speaker verification trains and tests on different speakers; in two splits are: "
            + ", ".join(shared)
        )
    shop.require_splits("utterances of speakers", ("train", "dev", "test"))
    for split, prefix in _FROM_ROOT.items():
        pairs = trials(paths[split], shop.rng(f"trials {split}"), _MOST_TRIALS)
        shop.counts[f"{split} trials"] = len(pairs)
        shop.write(f"{split}_trials.txt", [f"{label} {prefix}{a} {prefix}{b}" for label, a, b in pairs])
    shop.write("train_speakers.txt", sorted(paths["train"]))
    datarc = "downstream_expert.datarc"
    return Layout(
        {
            f"{datarc}.file_path": ".",
            f"{datarc}.train_meta_data": "train_speakers.txt",
            f"{datarc}.dev_meta_data": "dev_trials.txt",
            f"{datarc}.test_meta_data": "test_trials.txt",
        },
        classes={identity: speaker for speaker, identity in identities.items()},
    )


def _identities(material: Material, shop: Workshop) -> dict[str, str]:
    shop.skip("no speaker", sum(not utterance.speaker for utterance in material.utterances))
    speakers = sorted({utterance.speaker for utterance in material.utterances if utterance.speaker})
    return {speaker: f"id{FIRST_ID + i}" for i, speaker in enumerate(speakers)}


def _trimmed_seconds(wave: Wave) -> float:
    """Return how much S3PRL leaves of a recording."""
    trimmed, rate = apply_effects_tensor(torch.from_numpy(wave)[None], SAMPLE_RATE, _TRIMMING)
    return trimmed.shape[1] / rate
