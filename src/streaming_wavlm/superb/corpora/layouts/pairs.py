"""Mixtures beside their clean parts: a voice in noise (SE), and two voices at once (SS)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ....config import SAMPLE_RATE
from ..kaldi import write_scp
from ..mixing import NoiseOf, Pcm, as_pcm, at_ratio, cut, refuse_shared_speakers, speaker_pairs
from ..records import SPLITS, Material
from ..workshop import Layout, Workshop

_SECONDS = 6.0
# What SI-SDR, PESQ and STOI can say something about.
_LEAST_SECONDS = 1.0
_SNR_DB = {"train": (0.0, 5.0, 10.0, 15.0), "dev": (0.0, 5.0, 10.0, 15.0), "test": (2.5, 7.5, 12.5)}
_LEVEL_DB = 5.0


def lay_out_enhancement(material: Material, shop: Workshop) -> Layout:
    """Write speech in noise and the same speech without, at most 6 s of each utterance.

    The ratio of the mean power of the speech to that of the noise goes through 0, 5, 10 and 15 dB in train
    and dev, and through 2.5, 7.5 and 12.5 dB in the test, with noise that the test has for itself.

    Raises:
        SuperbError: a speaker is in two splits, or there is noise, but none for training or for the test.
    """
    refuse_shared_speakers([utterance for utterance in material.utterances if utterance.speaker])
    noise = NoiseOf(material.noises, shop)
    for split in SPLITS:
        rng = shop.rng(f"enhancement {split}")
        pool = material.of(split)
        chosen = rng.sample(pool, len(pool))
        written = _Written(shop, split)
        for i in range(material.mixtures.get(split, len(pool)) if pool else 0):
            utterance = chosen[i % len(chosen)]
            wave = shop.read(utterance, _LEAST_SECONDS)
            if wave is None:
                continue
            clean = cut(wave, _SECONDS, rng)
            # The ratios shift by one with each round, so that an utterance is heard at another one.
            snr = _SNR_DB[split][(i + i // len(chosen)) % len(_SNR_DB[split])]
            voice, _, noisy = as_pcm(clean, at_ratio(clean, noise.draw(split, len(clean), rng), snr))
            written.add(utterance.id, utterance.speaker, {"clean": voice, "noisy": noisy})
        written.finish()
    shop.require_splits("utterances")
    notes = ("there is no recorded noise: it is made up",) if noise.made_up else ()
    return Layout(_PATHS, notes=notes)


def lay_out_separation(material: Material, shop: Workshop) -> Layout:
    """Write two voices at once beside each of them, as long as the shorter one, at most 6 s.

    The second voice's level differs from the first's by up to 5 dB. Speakers are disjoint between splits.

    Raises:
        SuperbError: a split has fewer than two speakers, or a speaker is in two.
    """
    speakers = [utterance for utterance in material.utterances if utterance.speaker]
    shop.skip("no speaker", len(material.utterances) - len(speakers))
    refuse_shared_speakers(speakers)
    for split in SPLITS:
        rng = shop.rng(f"separation {split}")
        pool = [utterance for utterance in speakers if utterance.split == split]
        written = _Written(shop, split)
        for pair in speaker_pairs(pool, material.mixtures.get(split, len(pool)), rng):
            waves = [wave for utterance in pair if (wave := shop.read(utterance, _LEAST_SECONDS)) is not None]
            if len(waves) < 2:
                shop.skip("mixture without two usable recordings")
                continue
            seconds = min(_SECONDS, *(len(wave) / SAMPLE_RATE for wave in waves))
            one, two = (cut(wave, seconds, rng) for wave in waves)
            first, second, mixture = as_pcm(one, at_ratio(one, two, rng.uniform(-_LEVEL_DB, _LEVEL_DB)))
            name = "_".join(utterance.id for utterance in pair)
            written.add(name, pair[0].speaker, {"s1": first, "s2": second, "mix_clean": mixture})
        written.finish()
    shop.require_splits("mixtures")
    return Layout(_PATHS)


_PATHS = {f"downstream_expert.loaderrc.{split}_dir": split for split in SPLITS}


class _Written:
    """A split's mixtures, each kind of audio in a folder of its own."""

    def __init__(self, shop: Workshop, split: str) -> None:
        self._shop = shop
        self._split = split
        self._audio: dict[str, dict[str, str]] = defaultdict(dict)
        self._speakers: dict[str, str] = {}

    def add(self, name: str, speaker: str, parts: Mapping[str, Pcm]) -> None:
        """Write a mixture and its parts."""
        name = self._shop.name(f"{self._split}-{name}")
        self._speakers[name] = self._shop.folder_name(speaker)
        for kind, wave in parts.items():
            path = f"{self._split}/{kind}/wav/{name}.wav"
            self._shop.save(path, wave)
            self._audio[kind][name] = path
        self._shop.counts[self._split] += 1

    def finish(self) -> None:
        """Write the lists."""
        for kind, audio in self._audio.items():
            write_scp(self._shop, f"{self._split}/{kind}", audio, self._speakers)
