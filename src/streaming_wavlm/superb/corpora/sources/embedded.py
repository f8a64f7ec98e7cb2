"""The speech in the package as tiny versions of the ten tasks, to try them; no figure from it means much."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable

from .... import corpus
from ....corpus import Clip
from ..lexicon import spoken_words
from ..records import Material, Utterance
from .voices import voices

_MADE_UP = "from a few hundred telephone prompts by four voices: it shows that the task runs and nothing else"
_SHARED = "four voices serve as six speakers, so train, dev and test share voices"
_COUNTS = {"train": 32, "dev": 8, "test": 10}
_SCRAPS = {"train": 5, "dev": 2, "test": 3}


def digest() -> str:
    """Return what changes with the embedded speech."""
    return hashlib.sha256((corpus.folder() / "manifest.tsv").read_bytes()).hexdigest()[:16]


def material(task: str, seed: int) -> Material:
    """Return what a task is made of.

    Args:
        task: S3PRL's name.
        seed: of the choice of utterances.
    """
    return _MATERIAL[task](seed)


def _spoken(seed: int) -> Material:
    """Two to four words joined; each word is recorded once, so train and test share recordings."""
    clips = {clip.prompt: clip for clip in corpus.clips() if clip.language == "en"}
    words = {prompt: spoken for prompt, spoken in spoken_words().items() if prompt in clips}
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    utterances = []
    for split, count in _COUNTS.items():
        for i in range(count):
            prompts = rng.sample(sorted(words), rng.randint(2, 4))
            utterances.append(
                Utterance(
                    f"{split}-{i:02}",
                    tuple(clips[prompt].path for prompt in prompts),
                    split,
                    speaker=clips[prompts[0]].speaker,
                    text=" ".join(words[prompt][0] for prompt in prompts),
                    phones=tuple(words[prompt][1] for prompt in prompts),
                )
            )
    note = "utterances are two to four English words joined; train and test share the words' recordings"
    return Material(tuple(utterances), notes=(_MADE_UP, note))


def _keywords(_: int) -> Material:
    """Digits in five languages: five of them are keywords, the letters are unknown words, one is left out."""
    keywords = {f"digits-{digit}": f"digit {digit}" for digit in range(1, 6)}
    utterances = [
        _utterance(clip, (keywords[clip.prompt],), _LANGUAGE_SPLITS[clip.language])
        for clip in corpus.clips()
        if clip.prompt in keywords
    ]
    utterances += [
        _utterance(clip, ("_unknown_",), _LANGUAGE_SPLITS[clip.language])
        for clip in corpus.clips()
        if clip.prompt in ("letters-a", "letters-f", "letters-s", "letters-z")
    ]
    note = "the keyword of a digit is its number, in three languages for training and others for dev and test"
    return Material(tuple(utterances), notes=(_MADE_UP, note))


def _intents(_: int) -> Material:
    """What is said as the action, the language as the object, and the voice as the location."""
    kinds = {"digits-day": "day", "digits-mon": "month"}
    chosen = [
        (clip, kind)
        for clip in corpus.clips()
        for start, kind in kinds.items()
        if clip.prompt.startswith(start)
    ]
    utterances = [
        _utterance(clip, (kind, clip.language, clip.speaker), split)
        for (clip, kind), split in zip(chosen, _turns(len(chosen), "train train dev test"), strict=True)
    ]
    note = "the slots are the kind of word, its language and its voice: no intents"
    return Material(tuple(utterances), notes=(_MADE_UP, note))


def _emotions(_: int) -> Material:
    """No emotions: the language is the class, and the prompts are dealt to two folds."""
    chosen = [clip for clip in corpus.clips() if clip.prompt.startswith(("digits-mon", "vm-to"))]
    prompts = sorted({clip.prompt for clip in chosen})
    folds = {prompt: str(1 + i % 2) for i, prompt in enumerate(prompts)}
    utterances = [
        Utterance(
            clip.id, (clip.path,), speaker=clip.speaker, labels=(clip.language,), fold=folds[clip.prompt]
        )
        for clip in chosen
    ]
    note = "the speech has no emotion labels: the class is the language"
    return Material(tuple(utterances), notes=(_MADE_UP, note), folds=("1", "2"))


def _verification(_: int) -> Material:
    """Two voices for each split; with four voices some serve twice, as different speakers."""
    utterances = _voices_of_splits(lambda clip: clip.seconds > 3, {"train": 10, "dev": 6, "test": 6})
    return Material(tuple(utterances), notes=(_MADE_UP, _SHARED))


def _mixtures(_: int) -> Material:
    """As for verification, with shorter recordings."""
    counts = {split: 2 * count for split, count in _SCRAPS.items()}
    utterances = _voices_of_splits(lambda clip: 2 < clip.seconds < 6, counts)
    return Material(tuple(utterances), notes=(_MADE_UP, _SHARED), mixtures=_SCRAPS)


def _voices_of_splits(wanted: Callable[[Clip], bool], counts: dict[str, int]) -> list[Utterance]:
    """Return recordings of two voices for each split; no recording is in two."""
    left = [clip for clip in corpus.clips() if wanted(clip)]
    utterances = []
    for split, languages in {"train": ("en", "fr"), "dev": ("es", "it"), "test": ("it", "ru")}.items():
        for language in languages:
            chosen = [clip for clip in left if clip.language == language][: counts[split]]
            left = [clip for clip in left if clip not in chosen]
            utterances += [
                Utterance(clip.id, (clip.path,), split, speaker=f"{clip.speaker}-{split}") for clip in chosen
            ]
    return utterances


def _utterance(clip: Clip, labels: tuple[str, ...], split: str) -> Utterance:
    return Utterance(clip.id, (clip.path,), split, speaker=clip.speaker, labels=labels, group=clip.language)


def _turns(count: int, pattern: str) -> Iterable[str]:
    turns = pattern.split()
    return (turns[i % len(turns)] for i in range(count))


_LANGUAGE_SPLITS = {"en": "train", "fr": "train", "it": "train", "es": "dev", "ru": "test"}
_MATERIAL: dict[str, Callable[[int], Material]] = {
    "asr": _spoken,
    "phone_linear": _spoken,
    "voxceleb1": voices,
    "sv_voxceleb1": _verification,
    "diarization": _mixtures,
    "emotion": _emotions,
    "fluent_commands": _intents,
    "speech_commands": _keywords,
    "enhancement_stft": _mixtures,
    "separation_stft": _mixtures,
}
