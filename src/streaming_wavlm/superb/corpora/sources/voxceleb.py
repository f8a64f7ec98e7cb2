"""VoxCeleb1: the lists that S3PRL wants, without what is not there, and trials for dev."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from pathlib import Path

from ....errors import SuperbError
from ..trials import trials
from ..workshop import Layout, Workshop
from .checks import first_existing, lengths, require_parts

_META = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta"
ORIGIN = "VoxCeleb1 is had from https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html on request"
_AUDIO = {"dev/wav": "the recordings of 1,211 speakers", "test/wav": "those of the other 40"}
_SPLITS = {"1": "train", "2": "dev", "3": "test"}
_SPLIT_LISTS = ("iden_split.txt", "veri_test_class.txt")
_TRIAL_LISTS = ("voxceleb1_test_v2.txt", "veri_test2.txt", "veri_test.txt")
_DEV_SPEAKERS, _DEV_RECORDINGS, _DEV_TRIALS = 40, 20, 20_000
_DATARC = "downstream_expert.datarc"


def check_identification(root: Path, shop: Workshop) -> Layout:
    """Write the list of splits.

    Raises:
        SuperbError: something is missing.
    """
    require_parts(root, "VoxCeleb1", _AUDIO, ORIGIN)
    lines = _lines(_list(root, _SPLIT_LISTS), 2, "the number of a split (1, 2 or 3) and a path", _SPLITS)
    places = {relative: _place(root, relative) for _, relative in lines}
    there = set(lengths(places.values(), shop))
    kept = [(number, relative) for number, relative in lines if places[relative] in there]
    for number, _ in kept:
        shop.counts[_SPLITS[number]] += 1
    shop.require_splits("recordings")
    shop.write("iden_split.txt", [f"{number} {relative}" for number, relative in kept])
    notes = _incomplete(len(lines) - len(kept))
    return Layout({f"{_DATARC}.file_path": str(root), f"{_DATARC}.meta_data": "iden_split.txt"}, notes=notes)


def check_verification(root: Path, shop: Workshop) -> Layout:
    """Write the test's trials, and trials for dev among 40 of the training speakers.

    Raises:
        SuperbError: something is missing.
    """
    require_parts(root, "VoxCeleb1", _AUDIO, ORIGIN)
    source = _list(root, _TRIAL_LISTS)
    pairs = _lines(source, 3, "1 or 0 and two paths", ("0", "1"))
    tested = {path for _, *both in pairs for path in both}
    there = {
        str(path.relative_to(root / "test/wav"))
        for path in lengths([root / "test/wav" / p for p in sorted(tested)], shop)
    }
    kept = [pair for pair in pairs if set(pair[1:]) <= there]
    shop.write("test_trials.txt", [" ".join(pair) for pair in kept])
    recordings: dict[str, list[str]] = defaultdict(list)
    for path in lengths(sorted((root / "dev/wav").glob("*/*/*.wav")), shop):
        relative = path.relative_to(root / "dev/wav")
        recordings[relative.parts[0]].append(str(relative))
    rng = shop.rng("VoxCeleb1 dev")
    chosen = {
        speaker: rng.sample(recordings[speaker], min(_DEV_RECORDINGS, len(recordings[speaker])))
        for speaker in rng.sample(sorted(recordings), min(_DEV_SPEAKERS, len(recordings)))
    }
    dev = trials(chosen, rng, _DEV_TRIALS)
    shop.write("dev_trials.txt", [f"{label} {a} {b}" for label, a, b in dev])
    shop.write("train_speakers.txt", sorted(recordings))
    shop.counts["train"], shop.counts["test"] = sum(map(len, recordings.values())), len(there)
    shop.counts["dev trials"], shop.counts["test trials"] = len(dev), len(kept)
    shop.require_splits("usable trials", ("test trials",))
    notes = (
        f"the test's trials are those of {source.name}; dev's are of speakers who are also trained on",
        *_incomplete(len(pairs) - len(kept)),
    )
    lists = {"train": "train_speakers.txt", "dev": "dev_trials.txt", "test": "test_trials.txt"}
    paths = {f"{_DATARC}.{split}_meta_data": path for split, path in lists.items()}
    return Layout({f"{_DATARC}.file_path": str(root), **paths}, notes=notes)


def _place(root: Path, relative: str) -> Path:
    return first_existing(root / part / "wav" / relative for part in ("dev", "test")) or root / relative


def _list(root: Path, names: tuple[str, ...]) -> Path:
    found = first_existing(folder / name for name in names for folder in (root, root / "meta"))
    if found is None:
        raise SuperbError(f"{root} lacks the list {' or '.join(names)}; VoxCeleb1's lists are at {_META}")
    return found


def _lines(path: Path, fields: int, what: str, first: Container[str]) -> list[list[str]]:
    """Return the fields of each line of a list."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if parts := line.split():
            if len(parts) != fields or parts[0] not in first:
                raise SuperbError(f"{path}, line {number}: each line holds {what}, got {line.strip()[:80]!r}")
            found.append(parts)
    return found


def _incomplete(missing: int) -> tuple[str, ...]:
    return (f"{missing} lines of the list are left out, so figures are not SUPERB's",) if missing else ()
