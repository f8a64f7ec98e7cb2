"""Mixtures whose parts are known exactly: of two voices, or of a voice and noise."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ...augment import coloured_noise
from ...config import SAMPLE_RATE
from ...errors import SuperbError
from .records import Utterance
from .workshop import Wave, Workshop

Pcm = npt.NDArray[np.int16]

_FULL = 32768
_PEAK = 0.9
# A minute of noise for those who give none.
_MADE_UP_SECONDS = 60


def at_ratio(wave: Wave, other: Wave, db: float) -> Wave:
    """Return ``other`` at a level such that ``wave`` has ``db`` times its mean power, in dB."""
    power, other_power = (float(np.mean(np.square(w, dtype=np.float64))) for w in (wave, other))
    if other_power == 0:
        return other
    return other * np.float32(np.sqrt(power / other_power / 10 ** (db / 10)))


def as_pcm(*parts: Wave) -> tuple[Pcm, ...]:
    """Return the parts of a mixture as 16-bit audio, then their sum, which is exact and does not clip.

    Args:
        parts: of one length; all are turned down by the same factor where the sum would be too loud.
    """
    peak = float(np.max(np.abs(np.stack([*parts, np.sum(parts, axis=0)]))))
    factor = min(1.0, _PEAK / peak) if peak else 1.0
    whole = [np.rint(part * (factor * _FULL)).astype(np.int32) for part in parts]
    return (*(part.astype(np.int16) for part in whole), np.sum(whole, axis=0).astype(np.int16))


def cut(wave: Wave, seconds: float, rng: random.Random) -> Wave:
    """Return a random stretch of a recording, all of it when it is no longer than that."""
    samples = round(seconds * SAMPLE_RATE)
    start = rng.randint(0, max(0, len(wave) - samples))
    return wave[start : start + samples]


def speaker_pairs(
    utterances: Sequence[Utterance], count: int, rng: random.Random
) -> Iterator[tuple[Utterance, Utterance]]:
    """Yield pairs of utterances of different speakers; every utterance comes first about equally often.

    Args:
        utterances: with their speakers.
        count: how many pairs.
        rng: makes the choice.

    Raises:
        SuperbError: there are not two speakers.
    """
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    if len(by_speaker) < 2:
        raise SuperbError(
            f"a mixture needs two speakers and a split has {len(by_speaker)}: "
            + (", ".join(by_speaker) or "none")
        )
    order: list[Utterance] = []
    for _ in range(count):
        order = order or rng.sample(utterances, len(utterances))
        first = order.pop()
        other = rng.choice(sorted(speaker for speaker in by_speaker if speaker != first.speaker))
        yield first, rng.choice(by_speaker[other])


def refuse_shared_speakers(utterances: Sequence[Utterance]) -> None:
    """Refuse a speaker who is in two splits.

    Raises:
        SuperbError: one is.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        found[utterance.speaker].add(utterance.split)
    if shared := sorted(speaker for speaker, splits in found.items() if len(splits) > 1):
        raise SuperbError(f"mixtures need other speakers in each split; in two are: {', '.join(shared)}")


class NoiseOf:
    """Stretches of noise for each split; what is tested with was not trained with.

    Where dev has no noise of its own it gets the last fifth of the training noise; made-up noise where there
    is none at all.

    Args:
        noises: recordings, each with its split.
        shop: reads them.

    Raises:
        SuperbError: there is noise, but none for training or none for the test.
    """

    def __init__(self, noises: Sequence[Utterance], shop: Workshop) -> None:
        self._waves: dict[str, list[Wave]] = defaultdict(list)
        for noise in noises:
            if (wave := shop.read(noise)) is not None:
                self._waves[noise.split].append(wave)
        self.made_up = not noises
        if self.made_up:
            for split in ("train", "test"):
                generator = np.random.default_rng(shop.rng(f"noise {split}").getrandbits(32))
                self._waves[split].append(coloured_noise(_MADE_UP_SECONDS * SAMPLE_RATE, generator))
        if not self._waves["train"] or not self._waves["test"]:
            raise SuperbError(
                f"noise is needed for train and for test, got {len(self._waves['train'])} usable recordings "
                f"for train and {len(self._waves['test'])} for test"
            )
        if not self._waves["dev"]:
            ends = [len(wave) * 4 // 5 for wave in self._waves["train"]]
            pairs = list(zip(self._waves["train"], ends, strict=True))
            self._waves["dev"] = [wave[end:] for wave, end in pairs]
            self._waves["train"] = [wave[:end] for wave, end in pairs]

    def draw(self, split: str, samples: int, rng: random.Random) -> Wave:
        """Return ``samples`` samples from a random place of a split's noise; short noise is repeated."""
        wave = rng.choice(self._waves[split])
        start = rng.randint(0, max(0, len(wave) - samples))
        return np.resize(wave[start:], samples)
