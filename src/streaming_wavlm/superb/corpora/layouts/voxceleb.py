"""Speakers as VoxCeleb1: a folder for each, and the list that says which split a recording is in."""

from __future__ import annotations

from collections import Counter, defaultdict

from ....errors import SuperbError
from ..records import SPLITS, Material, Utterance
from ..workshop import Layout, Wave, Workshop, share_of_most_frequent

# The numbers that VoxCeleb1's list uses, and the folder that each split's recordings are in.
_NUMBERS = {"train": ("1", "dev"), "dev": ("2", "dev"), "test": ("3", "test")}
_LIST = "veri_test_class.txt"
# What S3PRL's head has outputs for.
_MOST_SPEAKERS = 1251
FIRST_ID = 10001


def lay_out_voxceleb(material: Material, shop: Workshop) -> Layout:
    """Write speech for speaker identification; speakers who are not in all three splits are left out.

    Raises:
        SuperbError: there are more speakers than S3PRL's head has outputs for, or none is in every split.
    """
    found: dict[str, list[tuple[Utterance, Wave]]] = defaultdict(list)
    for utterance in material.utterances:
        if not utterance.speaker:
            shop.skip("no speaker")
        elif (wave := shop.read(utterance)) is not None:
            found[utterance.speaker].append((utterance, wave))
    speakers = []
    for speaker, members in sorted(found.items()):
        if {utterance.split for utterance, _ in members} == set(SPLITS):
            speakers.append(speaker)
        else:
            shop.skip("of a speaker who is not in every split", len(members))
    if len(speakers) > _MOST_SPEAKERS:
        raise SuperbError(
            f"there are {len(speakers)} speakers and S3PRL's head tells {_MOST_SPEAKERS} apart; "
            "take speakers out of the manifest"
        )
    identities = {speaker: f"id{FIRST_ID + i}" for i, speaker in enumerate(speakers)}
    lines = []
    truth: Counter[str] = Counter()
    for speaker, identity in identities.items():
        for utterance, wave in found[speaker]:
            number, part = _NUMBERS[utterance.split]
            folder = f"{identity}/{shop.folder_name(utterance.group)}"
            relative = f"{folder}/{shop.name(utterance.id, folder)}.wav"
            shop.save(f"{part}/wav/{relative}", wave)
            lines.append(f"{number} {relative}")
            shop.counts[utterance.split] += 1
            truth[speaker] += utterance.split == "test"
    shop.require_splits("utterances of speakers who are in every split")
    shop.write(_LIST, sorted(lines))
    return Layout(
        {"downstream_expert.datarc.file_path": ".", "downstream_expert.datarc.meta_data": _LIST},
        share_of_most_frequent(truth.elements()),
        {identity: speaker for speaker, identity in identities.items()},
    )
