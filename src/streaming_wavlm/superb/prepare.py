"""The speech embedded in the package, laid out the way S3PRL's tasks want a corpus."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
import yaml

from .. import corpus
from ..config import SAMPLE_RATE
from ..corpus import Clip
from ..errors import SuperbError
from ..files import replacing
from .tasks import CONFIGS

# The numbers that VoxCeleb1's list of splits uses, and the folder each split's recordings are in.
_SPLITS = {"train": ("1", "dev"), "dev": ("2", "dev"), "test": ("3", "test")}
_SHARES = {"train": 0.65, "dev": 0.15, "test": 0.2}
_MANIFEST = "prepared.json"
_FORMAT = 1


@dataclass(frozen=True)
class Prepared:
    """A corpus that is ready for S3PRL.

    Attributes:
        folder: where it is; ``config.yaml`` in it is what ``-c`` takes.
        speakers: the name of each class by its VoxCeleb1-style identity.
        counts: utterances of each split.
        chance: accuracy on the test split of guessing; its speakers are equally frequent.
    """

    folder: Path
    speakers: dict[str, str]
    counts: dict[str, int]
    chance: float

    @property
    def config(self) -> Path:
        """The experiment's config."""
        return self.folder / "config.yaml"


def prepare_voxceleb1(out: str | os.PathLike[str], *, seed: int = 0) -> Prepared:
    """Lay out the embedded speech as a VoxCeleb1 of four speakers, one for each voice.

    The splits are by what is said: no prompt is in two of them, whoever says it. In each split every voice
    gives as many utterances as the one with the fewest, shared evenly among the languages that it speaks.

    Args:
        out: the folder to make; one that an earlier call made with the same seed is left as it is.
        seed: of the choice of utterances and splits.

    Returns:
        What is there now.

    Raises:
        SuperbError: the folder holds something else.
        AudioError: the package is installed without its speech.
    """
    folder = Path(out)
    identity = {"format": _FORMAT, "task": "voxceleb1", "source": "embedded", "seed": seed}
    if folder.exists() and any(folder.iterdir()):
        return _existing(folder, identity)
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    chosen = {split: _balanced(clips, rng) for split, clips in _split(corpus.clips(), rng).items()}
    voices = sorted({clip.speaker for clips in chosen.values() for clip in clips})
    names = {voice: f"id{10001 + i}" for i, voice in enumerate(voices)}
    prepared = Prepared(
        folder,
        {name: voice for voice, name in names.items()},
        {split: len(clips) for split, clips in chosen.items()},
        1 / len(voices),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        lines = []
        for split, clip in ((split, clip) for split, clips in chosen.items() for clip in clips):
            number, part = _SPLITS[split]
            relative = f"{names[clip.speaker]}/{clip.language}/{clip.prompt}.wav"
            target = making / part / "wav" / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, corpus.read(clip), SAMPLE_RATE, subtype="PCM_16")
            lines.append(f"{number} {relative}")
        (making / "veri_test_class.txt").write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
        _write_config(making, folder.resolve())
        facts = {**identity, **{key: value for key, value in asdict(prepared).items() if key != "folder"}}
        (making / _MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        making.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        making.replace(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return prepared


def _existing(folder: Path, identity: dict[str, Any]) -> Prepared:
    try:
        facts = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        same = {key: facts[key] for key in identity} == identity
        moved = Path(_read_config(folder)["downstream_expert"]["datarc"]["file_path"]) != folder.resolve()
        found = Prepared(folder, facts["speakers"], facts["counts"], facts["chance"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise SuperbError(
            f"{folder} exists and is not a corpus that this command made ({error}); give another --out"
        ) from error
    if not same:
        raise SuperbError(f"{folder} was made with other settings; delete it or give another --out")
    if moved:
        _write_config(folder, folder.resolve())
    return found


def _balanced(clips: Sequence[Clip], rng: random.Random) -> list[Clip]:
    """Return the same number of clips of each voice, shared evenly among its languages."""
    by_voice: dict[str, dict[str, list[Clip]]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        by_voice.setdefault(clip.speaker, {}).setdefault(clip.language, []).append(clip)
    size = min(sum(map(len, languages.values())) for languages in by_voice.values())
    chosen = []
    for _, languages in sorted(by_voice.items()):
        queues = [rng.sample(group, len(group)) for _, group in sorted(languages.items())]
        voice: list[Clip] = []
        while len(voice) < size:
            voice += [queue.pop() for queue in queues if queue][: size - len(voice)]
        chosen += voice
    return chosen


def _split(clips: Sequence[Clip], rng: random.Random) -> dict[str, list[Clip]]:
    """Return the clips of each split, which share no prompt."""
    prompts = sorted({clip.prompt for clip in clips})
    rng.shuffle(prompts)
    rank = {prompt: (i + 0.5) / len(prompts) for i, prompt in enumerate(prompts)}
    splits, begin = {}, 0.0
    for split, share in _SHARES.items():
        splits[split] = [clip for clip in clips if begin <= rank[clip.prompt] < begin + share]
        begin += share
    return splits


def _read_config(folder: Path) -> Any:
    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


def _write_config(folder: Path, final: Path) -> None:
    """Write the config sized for this corpus, with the place where it will be."""
    config = yaml.safe_load((CONFIGS / "mini" / "voxceleb1.yaml").read_text(encoding="utf-8"))
    config["downstream_expert"]["datarc"] |= {
        "file_path": str(final),
        "meta_data": str(final / "veri_test_class.txt"),
    }
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
