"""Speech Commands v1: its two folders, which S3PRL searches itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ....config import SAMPLE_RATE
from ....errors import SuperbError
from ..layouts.speech_commands import SILENCE, UNKNOWN, WORDS
from ..workshop import Layout, Workshop
from .checks import first_existing, lengths, listed, require_parts

_SITE = "http://download.tensorflow.org/data"
ORIGIN = (
    f"unpack {_SITE}/speech_commands_v0.01.tar.gz and {_SITE}/speech_commands_test_set_v0.01.tar.gz, "
    "each into a folder named as its archive"
)
_TRAIN = ("speech_commands_v0.01", "train")
_TEST = ("speech_commands_test_set_v0.01", "test")
_NOISE = "_background_noise_"


def check_keywords(root: Path, shop: Workshop) -> Layout:
    """Look whether everything is there and can be read.

    Raises:
        SuperbError: something is missing or cannot be read: S3PRL takes whatever is in the folders.
    """
    train, test = (
        first_existing(root / name for name in names) or root / names[0] for names in (_TRAIN, _TEST)
    )
    words = dict.fromkeys(WORDS, "a keyword")
    require_parts(train, "Speech Commands v1", {**words, _NOISE: "noise, for silence"}, ORIGIN)
    require_parts(
        test, "test set of Speech Commands v1", words | {UNKNOWN: "other words", SILENCE: "noise"}, ORIGIN
    )
    for split, folder in (("train and dev", train), ("test", test)):
        files = sorted(folder.glob("*/*.wav"))
        found = lengths(files, shop, any_rate=True)
        if broken := [path for path in files if path not in found]:
            raise SuperbError(
                f"S3PRL would stop at recordings that cannot be read; unpack again: {listed(broken)}"
            )
        noise = [
            path for path, samples in found.items() if path.parent.name == _NOISE and samples <= SAMPLE_RATE
        ]
        if noise:
            raise SuperbError(f"S3PRL cuts a second out of noise, which must be longer: {listed(noise)}")
        shop.counts[split] = len(found)
    truth = Counter(path.parent.name for path in found)
    paths = {"speech_commands_root": train, "speech_commands_test_root": test}
    return Layout(
        {f"downstream_expert.datarc.{key}": str(path) for key, path in paths.items()},
        max(truth.values()) / truth.total(),
    )
