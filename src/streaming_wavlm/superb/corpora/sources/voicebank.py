"""VoiceBank-DEMAND: lists of noisy and clean recordings."""

from __future__ import annotations

from pathlib import Path

from ..kaldi import write_scp
from ..workshop import Layout, Workshop
from .checks import lengths, require_parts

ORIGIN = "VoiceBank-DEMAND is at https://datashare.ed.ac.uk/handle/10283/2791 (28 speakers)"
_TRAIN, _TEST = "trainset_28spk_wav", "testset_wav"
# Two of the 28 training speakers are for dev, as is usual.
_DEV_SPEAKERS = ("p226", "p287")


def check_enhancement(root: Path, shop: Workshop) -> Layout:
    """Write the lists; S3PRL resamples the 48 kHz of the original itself, each time it reads a file.

    Raises:
        SuperbError: something is missing.
    """
    parts = {f"{kind}_{part}": "recordings" for part in (_TRAIN, _TEST) for kind in ("noisy", "clean")}
    require_parts(root, "VoiceBank-DEMAND", parts, ORIGIN)
    splits: dict[str, list[tuple[Path, Path]]] = {"train": [], "dev": [], "test": []}
    for part in (_TRAIN, _TEST):
        for noisy, clean in _pairs(root, part, shop):
            speaker = noisy.stem.split("_")[0]
            split = "test" if part == _TEST else "dev" if speaker in _DEV_SPEAKERS else "train"
            splits[split].append((noisy, clean))
    for split, pairs in splits.items():
        speakers = {noisy.stem: noisy.stem.split("_")[0] for noisy, _ in pairs}
        write_scp(shop, f"{split}/noisy", {noisy.stem: noisy for noisy, _ in pairs}, speakers)
        write_scp(shop, f"{split}/clean", {noisy.stem: clean for noisy, clean in pairs}, speakers)
        shop.counts[split] = len(pairs)
    shop.require_splits("pairs of recordings")
    return Layout({f"downstream_expert.loaderrc.{split}_dir": split for split in splits})


def _pairs(root: Path, part: str, shop: Workshop) -> list[tuple[Path, Path]]:
    """Return the noisy recordings that have a clean one of the same length."""
    noisy = lengths(sorted((root / f"noisy_{part}").glob("*.wav")), shop, any_rate=True)
    clean = lengths([root / f"clean_{part}" / path.name for path in noisy], shop, any_rate=True)
    result = []
    for path, samples in noisy.items():
        other = root / f"clean_{part}" / path.name
        if clean.get(other) == samples:
            result.append((path, other))
        else:
            shop.skip("noisy recording without a clean one of its length")
    return result
