"""Phones as S3PRL's frame-wise phone recognition has them: one class of 41 for each 10 ms."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ....errors import SuperbError
from ..activity import active_frames
from ..align import Aligner, Sample
from ..cepstra import Features, cepstra
from ..phones import PHONES, unknown_phones
from ..records import SPLITS, Material, Utterance
from ..workshop import Layout, Workshop, share_of_most_frequent
from .librispeech import LENGTHS, PARTS, ROOT, Entry, add, write_lengths

_FOLDER = "phones"
# S3PRL calls the last tenth of the shuffled training list its dev split.
_TRAIN_SHARE = 0.9


@dataclass(frozen=True)
class _Member:
    utterance: Utterance
    entry: Entry
    sample: Sample

    @property
    def name(self) -> str:
        return self.entry.path.rsplit("/", 1)[1].removesuffix(".wav")


def lay_out_phones(material: Material, shop: Workshop) -> Layout:
    """Write speech whose phones are known, and find out when each is said (:mod:`..align`).

    The aligner is trained on the training split and then used on all. S3PRL itself draws dev from one list
    with train: the list is ordered so that it draws those of the dev split, as many as it takes.

    Raises:
        SuperbError: nothing is left of a split.
    """
    members = _members(material, shop)
    shop.require_splits("utterances with phones")
    train = [member for member in members if member.utterance.split == "train"]
    aligner = Aligner([member.sample for member in train])
    labels = {member.name: aligner.labels(member.sample) for member in members}
    listed = _training_list(members, shop)
    tested = [member.name for member in members if member.utterance.split == "test"]
    known = {*listed, *tested}
    shop.write(f"{_FOLDER}/train_split.txt", listed)
    shop.write(f"{_FOLDER}/test_split.txt", tested)
    shop.write(
        f"{_FOLDER}/converted_aligned_phones.txt",
        [f"{name} {' '.join(map(str, found))}" for name, found in labels.items() if name in known],
    )
    shop.write(f"{_FOLDER}/classes.txt", [f"{phone} {number}" for number, phone in enumerate(PHONES)])
    # S3PRL looks every split up in the list of the training part.
    write_lengths(shop, PARTS["train"], [member.entry for member in members if member.name in known])
    datarc = "downstream_expert.datarc"
    return Layout(
        {f"{datarc}.libri_root": ROOT, f"{datarc}.bucket_file": LENGTHS, f"{datarc}.phone_path": _FOLDER},
        share_of_most_frequent(np.concatenate([labels[name] for name in tested]).tolist()),
        notes=(
            "frame labels are from an automatic alignment of the phones: what is measured is agreement with "
            "it, and 100 % cannot be reached",
        ),
    )


def _members(material: Material, shop: Workshop) -> list[_Member]:
    """Write the utterances that can be used; features are normalised for each speaker."""
    found = []
    raw: dict[str, list[Features]] = defaultdict(list)
    for utterance in material.utterances:
        if not utterance.phones:
            shop.skip("no phones")
        elif unknown_phones(utterance.phones):
            shop.skip("unknown phone")
        elif (wave := shop.read(utterance)) is not None:
            features = cepstra(wave)
            sample = Sample(features, active_frames(wave), utterance.phones)
            if not sample.fits:
                shop.skip("more phones than there is time for")
                continue
            entry, _ = add(shop, utterance.split, utterance.id, utterance.speaker, wave)
            found.append(_Member(utterance, entry, sample))
            raw[utterance.speaker or entry.path].append(features)
            shop.counts[utterance.split] += 1
    statistics = {key: _statistics(np.concatenate(features)) for key, features in raw.items()}
    return [
        _normalised(member, *statistics[member.utterance.speaker or member.entry.path]) for member in found
    ]


def _statistics(features: Features) -> tuple[Features, Features]:
    return features.mean(0), features.std(0) + 1e-3


def _normalised(member: _Member, mean: Features, deviation: Features) -> _Member:
    sample = member.sample
    features = (sample.features - mean) / deviation
    return _Member(member.utterance, member.entry, Sample(features, sample.active, sample.words))


def _training_list(members: list[_Member], shop: Workshop) -> list[str]:
    """Return the names that train and dev share, in the order that S3PRL's shuffle takes apart again.

    Raises:
        SuperbError: there are too few for S3PRL to make a dev split of.
    """
    splits = {
        split: [member.name for member in members if member.utterance.split == split] for split in SPLITS
    }
    train, dev = splits["train"], splits["dev"]
    # As many of dev as fit a tenth; as many of train as fit nine tenths of what is then there.
    total = max(
        (
            n
            for n in range(len(train) + len(dev) + 1)
            if int(n * _TRAIN_SHARE) <= len(train) and n - int(n * _TRAIN_SHARE) <= len(dev)
        ),
        default=0,
    )
    kept = int(total * _TRAIN_SHARE)
    if not kept or kept == total:
        raise SuperbError(
            "S3PRL takes a tenth of the training list for dev: there must be at least 1 utterance for train "
            f"and 1 for dev, got {len(train)} and {len(dev)}"
        )
    shop.skip("train or dev beyond the nine to one that S3PRL fixes", len(train) + len(dev) - total)
    shop.counts["train"], shop.counts["dev"] = kept, total - kept
    order = list(range(total))
    random.Random(int(shop.template["downstream_expert"]["datarc"]["train_dev_seed"])).shuffle(order)  # noqa: S311
    result = [""] * total
    for name, place in zip([*train[:kept], *dev[: total - kept]], order, strict=True):
        result[place] = name
    return result
