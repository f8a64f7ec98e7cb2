"""Corpora of speaker identification, verification and diarization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SuperbError
from .audio import read_lines, require_audio

Config = Mapping[str, Any]
_SPLITS = {"1": "train", "2": "dev", "3": "test"}
# S3PRL's head tells apart as many speakers as VoxCeleb1 has, id10001 and so on.
_FIRST, _SPEAKERS = 10001, 1251
# The frames of 20 ms that the x-vector sees at a time, in samples.
_SHORTEST = 16 * 320


def examine_identification(config: Config) -> tuple[str, ...]:
    """Look at the list of splits of ``voxceleb1``."""
    data = config["downstream_expert"]["datarc"]
    root, listing = Path(data["file_path"]), Path(data["meta_data"])
    folders = [part / "wav" for part in sorted(root.iterdir()) if (part / "wav").is_dir()]
    chosen: dict[str, list[Path]] = {split: [] for split in _SPLITS.values()}
    speakers: dict[str, set[str]] = {split: set() for split in _SPLITS.values()}
    for line in read_lines(listing, "the list of splits"):
        number, _, path = line.strip().partition(" ")
        if number not in _SPLITS or not path:
            raise SuperbError(
                f"{listing} has the line {line!r}; it takes 1, 2 or 3 (train, dev, test) and a path"
            )
        speaker = path.split("/")[0]
        if not (speaker[:2] == "id" and speaker[2:].isdigit() and 0 <= int(speaker[2:]) - _FIRST < _SPEAKERS):
            raise SuperbError(
                f"{listing} names the speaker {speaker!r}; "
                f"S3PRL takes id{_FIRST} to id{_FIRST + _SPEAKERS - 1}"
            )
        place = next(
            (folder / path for folder in folders if (folder / path).is_file()), root / "*" / "wav" / path
        )
        chosen[_SPLITS[number]].append(place)
        speakers[_SPLITS[number]].add(speaker)
    for split, paths in chosen.items():
        require_audio(paths, split)
    strange = (speakers["dev"] | speakers["test"]) - speakers["train"]
    return (
        (f"{len(strange)} speakers of dev and test are not in train and cannot be found",) if strange else ()
    )


def examine_verification(config: Config) -> tuple[str, ...]:
    """Look at the speakers and trials of ``sv_voxceleb1``."""
    data = config["downstream_expert"]["datarc"]
    root = Path(data["file_path"])
    shortest = int(data["vad_config"]["min_sec"])
    if shortest < _SHORTEST:
        raise SuperbError(f"datarc.vad_config.min_sec is {shortest} samples; the head needs {_SHORTEST}")
    recordings = sorted((root / "dev" / "wav").rglob("*.wav"))
    require_audio(recordings, "train", channels=64)
    counts = Counter(path.relative_to(root / "dev" / "wav").parts[0] for path in recordings)
    if len(counts) < 2:
        raise SuperbError(
            f"{root / 'dev' / 'wav'} has {len(counts)} speakers; telling them apart takes two or more"
        )
    for split, folder in (("dev", "dev"), ("test", "test")):
        listing = Path(data[f"{split}_meta_data"])
        trials = [line.split() for line in read_lines(listing, f"the list of {split} trials")]
        if any(len(trial) != 3 or trial[0] not in ("0", "1") for trial in trials):
            raise SuperbError(f"{listing} takes lines of 0 or 1 and two paths")
        if len({trial[0] for trial in trials}) < 2:
            raise SuperbError(
                f"{listing} needs trials of one speaker (1) and of two (0); it has only one kind"
            )
        paths = sorted({path for trial in trials for path in trial[1:]})
        require_audio([root / folder / "wav" / path for path in paths], f"{split} trials", channels=64)
    once = sum(count == 1 for count in counts.values())
    return (f"{once} of {len(counts)} speakers for train have one utterance",) if once else ()


def examine_diarization(config: Config) -> tuple[str, ...]:
    """Look at the Kaldi folders of ``diarization``."""
    expert = config["downstream_expert"]
    most = int(expert["datarc"]["num_speakers"])
    for split in ("train", "dev", "test"):
        folder = Path(expert["loaderrc"][f"{split}_dir"])
        places = _pairs(folder / "wav.scp")
        require_audio([Path(place) for place in places.values() if not place.endswith("|")], split)
        lengths, speakers = _pairs(folder / "reco2dur"), _pairs(folder / "utt2spk")
        heard: dict[str, set[str]] = {}
        for line in read_lines(folder / "segments", "the file of segments"):
            utterance, recording, *_ = line.split()
            if utterance not in speakers:
                raise SuperbError(f"{folder / 'utt2spk'} does not say who speaks in {utterance}")
            heard.setdefault(recording, set()).add(speakers[utterance])
        for name in places:
            if name not in lengths or name not in heard:
                lacking = "reco2dur" if name not in lengths else "segments"
                raise SuperbError(f"{folder / lacking} has nothing of the recording {name} in wav.scp")
            if len(heard[name]) > most:
                raise SuperbError(
                    f"{len(heard[name])} people speak in {name} of {folder} and the head tells {most} apart; "
                    "take the recording out, or set config.downstream_expert.datarc.num_speakers"
                )
    return ()


def _pairs(path: Path) -> dict[str, str]:
    lines = [line.strip().split(None, 1) for line in read_lines(path, f"the file {path.name}")]
    broken = [line for line in lines if len(line) != 2]
    if broken:
        raise SuperbError(f"{path} has the line {broken[0][0]!r}; it takes a name and what belongs to it")
    return dict(lines)
