"""Keywords as Speech Commands: one folder for each of twelve fixed words."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import numpy as np

from ....config import SAMPLE_RATE
from ....errors import SuperbError
from ..records import Material, Utterance
from ..workshop import Layout, Workshop, share_of_most_frequent

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
_NOISE = "_background_noise_"
_MARK = "_nohash_"
# S3PRL puts a recording of the training folder into train or dev by the hash of its name.
_HASH_RANGE = 2**27
_DEV_BELOW, _TRAIN_FROM = 10.0, 20.0
_NOISE_SECONDS = 2.0


def lay_out_speech_commands(material: Material, shop: Workshop) -> Layout:
    """Write keywords; those that S3PRL does not know stand in for its words, in alphabetical order.

    S3PRL has ten words, ``_unknown_`` and ``_silence_``, and nothing else. An utterance labelled with one of
    these twelve keeps its label. Other keywords take the places of words that nobody uses. Noise becomes
    ``_silence_``: whole recordings for training, which S3PRL cuts at random, seconds of it for the test.

    Raises:
        SuperbError: there are more keywords than places.
    """
    keywords = {utterance.labels[0] for utterance in material.utterances if utterance.labels}
    folders = _folders(keywords)
    truth: Counter[str] = Counter()
    for utterance in material.utterances:
        if not utterance.labels:
            shop.skip("no label")
        elif (wave := shop.read(utterance)) is not None:
            folder = folders[utterance.labels[0]]
            shop.save(f"{_part(utterance)}/{folder}/{_name(shop, utterance)}.wav", wave)
            shop.counts[utterance.split] += 1
            truth[folder] += utterance.split == "test"
    for noise in material.noises:
        truth[SILENCE] += _add_noise(shop, noise)
    shop.require_splits("keywords")
    return Layout(
        {
            "downstream_expert.datarc.speech_commands_root": "train",
            "downstream_expert.datarc.speech_commands_test_root": "test",
        },
        share_of_most_frequent(truth.elements()),
        {folder: keyword for keyword, folder in folders.items() if folder != keyword},
    )


def _folders(keywords: set[str]) -> dict[str, str]:
    """Return the folder of each keyword."""
    known = {*WORDS, UNKNOWN, SILENCE}
    free = [word for word in WORDS if word not in keywords]
    others = sorted(keywords - known)
    if len(others) > len(free):
        raise SuperbError(
            f"there are {len(others)} keywords that S3PRL does not know and {len(free)} places for them; "
            f"label some of them {UNKNOWN}: {', '.join(others)}"
        )
    return {word: word for word in keywords & known} | dict(zip(others, free, strict=False))


def _part(utterance: Utterance) -> str:
    return "test" if utterance.split == "test" else "train"


def _name(shop: Workshop, utterance: Utterance) -> str:
    """Return a file name by which S3PRL finds the utterance to be in its split."""
    # S3PRL hashes what comes before the first mark, which an id may have, too.
    base = shop.name(utterance.id.replace(_MARK, "_"))
    for number in itertools.count():
        speaker = f"{base}-{number}"
        digest = hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest()
        percent = int(digest, 16) % _HASH_RANGE * (100 / (_HASH_RANGE - 1))
        if utterance.split == "test" or (
            percent < _DEV_BELOW if utterance.split == "dev" else percent >= _TRAIN_FROM
        ):
            return f"{speaker}{_MARK}0"
    raise AssertionError("unreachable")


def _add_noise(shop: Workshop, noise: Utterance) -> int:
    """Write a recording of noise; return how many examples of silence the test gets from it."""
    wave = shop.read(noise, _NOISE_SECONDS)
    if wave is None:
        return 0
    if noise.split != "test":
        shop.save(f"train/{_NOISE}/{shop.name(noise.id)}.wav", wave)
        shop.counts["noise"] += 1
        return 0
    seconds = np.split(wave[: len(wave) // SAMPLE_RATE * SAMPLE_RATE], len(wave) // SAMPLE_RATE)
    kept = seconds[:: max(1, len(seconds) // 12)][:12]
    for i, second in enumerate(kept):
        shop.save(f"test/{SILENCE}/{shop.name(f'{noise.id}-{i}')}.wav", second)
    shop.counts["test"] += len(kept)
    return len(kept)
