"""Libri2Mix at 16 kHz: Kaldi folders for diarization and for separation."""

from __future__ import annotations

import shutil
from pathlib import Path

from ....audio import read_audio
from ....config import SAMPLE_RATE
from ....errors import AudioError, SuperbError
from ..activity import speech_pieces
from ..kaldi import Segment, write_scp, write_segments
from ..records import SPLITS
from ..workshop import Layout, Workshop
from .checks import first_existing, lengths, listed, require_parts

ORIGIN = "Libri2Mix is made from LibriSpeech with https://github.com/JorisCos/LibriMix (16k, {mode})"
_PARTS = {"train": "train-100", "dev": "dev", "test": "test"}
_KALDI = ("wav.scp", "segments", "utt2spk", "spk2utt", "reco2dur")
_PATHS = {f"downstream_expert.loaderrc.{split}_dir": split for split in SPLITS}


def check_separation(root: Path, shop: Workshop) -> Layout:
    """Write the lists of the clean mixtures and their two sources, from the ``min`` version.

    Raises:
        SuperbError: something is missing.
    """
    base = _base(root, "min")
    _require(base, "min", ("mix_clean", "s1", "s2"))
    for split, part in _PARTS.items():
        kinds = {kind: _recordings(base / part / kind, shop) for kind in ("mix_clean", "s1", "s2")}
        names = [name for name in kinds["mix_clean"] if _same_length(name, list(kinds.values()))]
        shop.skip("mixture without its two sources", len(kinds["mix_clean"]) - len(names))
        for kind, found in kinds.items():
            audio: dict[str, str | Path] = {name: found[name][0] for name in names}
            write_scp(shop, f"{split}/{kind}", audio, {name: name for name in names})
        shop.counts[split] = len(names)
    shop.require_splits("mixtures")
    return Layout(_PATHS)


def check_diarization(root: Path, shop: Workshop) -> Layout:
    """Take Kaldi folders that are there, with their RTTM added; or derive them from the ``max`` version.

    SUPERB's own folders have speaker times from a forced alignment of LibriSpeech; derived ones have them
    from the energy of each source.

    Raises:
        SuperbError: something is missing.
    """
    kaldi = first_existing(
        folder for folder in (root, root / "data") if (folder / "train" / "segments").is_file()
    )
    return _from_kaldi(kaldi, shop) if kaldi else _from_sources(root, shop)


def _from_kaldi(folder: Path, shop: Workshop) -> Layout:
    require_parts(
        folder,
        "set of Kaldi folders",
        {f"{s}/{n}": "a list" for s in SPLITS for n in _KALDI},
        "make them again",
    )
    for split in SPLITS:
        (shop.folder / split).mkdir()
        for name in _KALDI:
            shutil.copy(folder / split / name, shop.folder / split / name)
        owners = dict(line.split(None, 1) for line in _lines(folder / split / "utt2spk"))
        lines = []
        for line in _lines(folder / split / "segments"):
            name, recording, start, end = line.split()
            owner, length = owners[name].strip(), float(end) - float(start)
            lines.append(f"SPEAKER {recording} 1 {start} {length:.2f} <NA> <NA> {owner} <NA> <NA>")
        shop.write(f"{split}/rttm", lines)
        listing = [line.split(None, 1)[1].strip() for line in _lines(folder / split / "wav.scp")]
        # A line may be a command that writes audio; it is left to S3PRL.
        files = [Path(entry) for entry in listing if not entry.endswith("|")]
        found = lengths(files, shop)
        if bad := [path for path in files if path not in found]:
            raise SuperbError(f"S3PRL would stop at recordings of {split} that cannot be used: {listed(bad)}")
        shop.counts[split] = len(listing)
    return Layout(_PATHS)


def _from_sources(root: Path, shop: Workshop) -> Layout:
    base = _base(root, "max")
    kind = "mix_both" if (base / "train-100" / "mix_both").is_dir() else "mix_clean"
    _require(base, "max", (kind, "s1", "s2"))
    for split, part in _PARTS.items():
        segments: list[Segment] = []
        audio: dict[str, str | Path] = {}
        seconds = {}
        for name, (path, samples) in _recordings(base / part / kind, shop).items():
            try:
                pieces = [
                    speech_pieces(read_audio(base / part / source / f"{name}.wav")) for source in ("s1", "s2")
                ]
            except AudioError:
                shop.skip("mixture without its two sources")
                continue
            # A mixture is named after its two utterances: <speaker>-<chapter>-<number>_<speaker>-...
            for utterance, found in zip(name.split("_"), pieces, strict=False):
                speaker = utterance.split("-")[0]
                segments += [Segment(name, speaker, a / SAMPLE_RATE, b / SAMPLE_RATE) for a, b in found]
            audio[name], seconds[name] = path, samples / SAMPLE_RATE
        write_scp(shop, split, audio, {name: name for name in audio})
        write_segments(shop, split, segments, seconds)
        shop.counts[split] = len(audio)
    shop.require_splits("mixtures")
    note = f"speaker times are from the energy of the sources of {kind}, not from SUPERB's alignment"
    return Layout(_PATHS, notes=(note,))


def _base(root: Path, mode: str) -> Path:
    places = [root / "Libri2Mix" / "wav16k" / mode, root / "wav16k" / mode, root / mode, root]
    return first_existing(place for place in places if (place / "train-100").is_dir()) or places[1]


def _require(base: Path, mode: str, kinds: tuple[str, ...]) -> None:
    parts = {f"{part}/{kind}": f"of the {split} split" for split, part in _PARTS.items() for kind in kinds}
    require_parts(base, f"Libri2Mix (wav16k/{mode})", parts, ORIGIN.format(mode=mode))


def _recordings(folder: Path, shop: Workshop) -> dict[str, tuple[Path, int]]:
    found = lengths(sorted(folder.glob("*.wav")), shop)
    return {path.stem: (path, samples) for path, samples in found.items()}


def _same_length(name: str, kinds: list[dict[str, tuple[Path, int]]]) -> bool:
    return len({found[name][1] if name in found else -1 for found in kinds}) == 1


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
