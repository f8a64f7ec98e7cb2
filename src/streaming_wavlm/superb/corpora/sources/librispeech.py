"""LibriSpeech: the lists that S3PRL wants beside it, and the audio where it is."""

from __future__ import annotations

from pathlib import Path

from ....errors import SuperbError
from ..layouts.librispeech import DICTIONARY, LENGTHS, Entry, write_lengths
from ..phones import PHONES
from ..text import dictionary, normalised
from ..workshop import Layout, Workshop
from .checks import lengths, require_parts

ORIGIN = "LibriSpeech is at https://www.openslr.org/12"
_PHONES_ORIGIN = (
    "the frame labels and the two lists are in the folder downstream/phone_linear/data of S3PRL's repository "
    "(https://github.com/s3prl/s3prl; the labels are zipped): put the three files beside train-clean-100"
)
_LABELS = "converted_aligned_phones.txt"
_LISTS = ("train_split.txt", "test_split.txt")
_PARTS = {"train-clean-100": "train", "dev-clean": "dev", "test-clean": "test"}
_DATARC = "downstream_expert.datarc"


def check_asr(root: Path, shop: Workshop) -> Layout:
    """Write the lists of lengths and the dictionary of characters.

    Raises:
        SuperbError: something is missing.
    """
    root = _root(root)
    require_parts(root, "LibriSpeech", {part: f"the {split} split" for part, split in _PARTS.items()}, ORIGIN)
    texts = []
    for part, split in _PARTS.items():
        transcripts = _transcripts(root / part, shop)
        found = lengths(transcripts, shop)
        write_lengths(shop, part, [Entry(str(path.relative_to(root)), n) for path, n in found.items()])
        shop.counts[split] = len(found)
        texts += [transcripts[path] for path in found]
    shop.require_splits("transcribed recordings")
    shop.write(DICTIONARY, dictionary(texts))
    return Layout(
        {
            f"{_DATARC}.libri_root": str(root),
            f"{_DATARC}.bucket_file": LENGTHS,
            f"{_DATARC}.dict_path": DICTIONARY,
        }
    )


def check_phones(root: Path, shop: Workshop) -> Layout:
    """Write the list of lengths, and the lists of splits without what has no audio or no labels.

    Raises:
        SuperbError: something is missing, or a label is none of the 41 classes.
    """
    root = _root(root)
    require_parts(root, "LibriSpeech", {"train-clean-100": "the audio of all splits"}, ORIGIN)
    files = {_LABELS: "the phone of each 10 ms"} | dict.fromkeys(_LISTS, "a list of utterances")
    require_parts(root, "LibriSpeech with phones", files, _PHONES_ORIGIN)
    labelled = _labelled(root / _LABELS)
    found = lengths(sorted((root / "train-clean-100").rglob("*.flac")), shop)
    names = {path.stem for path in found} & labelled
    for list_, split in zip(_LISTS, ("train", "test"), strict=True):
        wanted = (root / list_).read_text(encoding="utf-8").split()
        kept = [name for name in wanted if name in names]
        shop.skip("listed without audio or labels", len(wanted) - len(kept))
        shop.counts[split] = len(kept)
        shop.write(f"phones/{list_}", kept)
    shop.require_splits("utterances with labels", ("train", "test"))
    (shop.folder / "phones" / _LABELS).symlink_to(root / _LABELS)
    write_lengths(
        shop, "train-clean-100", [Entry(str(path.relative_to(root)), n) for path, n in found.items()]
    )
    return Layout(
        {
            f"{_DATARC}.libri_root": str(root),
            f"{_DATARC}.bucket_file": LENGTHS,
            f"{_DATARC}.phone_path": "phones",
        },
        notes=("S3PRL takes a random tenth of the training list for dev",),
    )


def _root(given: Path) -> Path:
    return given / "LibriSpeech" if (given / "LibriSpeech").is_dir() else given


def _transcripts(part: Path, shop: Workshop) -> dict[Path, str]:
    """Return the transcript of each recording that has one."""
    result = {}
    empty = 0
    for table in sorted(part.glob("*/*/*.trans.txt")):
        for line in table.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            if not normalised(text):
                empty += 1
            else:
                result[table.parent / f"{name}.flac"] = normalised(text)
    untold = sum(path not in result for path in part.glob("*/*/*.flac"))
    shop.skip("empty transcript", empty)
    shop.skip("recording without a transcript", max(0, untold - empty))
    return result


def _labelled(path: Path) -> set[str]:
    names = set()
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            name, *labels = line.split()
            if wrong := sorted(
                {label for label in labels if not label.isdigit() or int(label) >= len(PHONES)}
            ):
                raise SuperbError(
                    f"{path} line {number} ({name}) has phones outside the {len(PHONES)} classes: "
                    + ", ".join(wrong)
                )
            names.add(name)
    return names
