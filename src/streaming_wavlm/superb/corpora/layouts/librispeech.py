"""Transcribed speech as LibriSpeech: folders of speakers, transcripts, lengths and a character dictionary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..records import SPLITS, Material
from ..text import dictionary, normalised
from ..workshop import Layout, Wave, Workshop

# S3PRL's configs name the splits as LibriSpeech does.
PARTS = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
ROOT, LENGTHS, DICTIONARY = "LibriSpeech", "len_for_bucket", "char.dict"


@dataclass(frozen=True)
class Entry:
    """One row of a list of lengths: a path under the root, and its samples."""

    path: str
    samples: int


def lay_out_asr(material: Material, shop: Workshop) -> Layout:
    """Write transcribed speech; an utterance whose transcript has no letters or digits is left out."""
    written = []
    for split in SPLITS:
        entries, transcripts = [], defaultdict(list)
        for utterance in material.of(split):
            text = normalised(utterance.text)
            if not text:
                shop.skip("empty transcript")
                continue
            wave = shop.read(utterance)
            if wave is None:
                continue
            entry, chapter = add(shop, split, utterance.id, utterance.speaker, wave)
            entries.append(entry)
            transcripts[chapter].append(f"{entry.path.rsplit('/', 1)[1].removesuffix('.wav')} {text}")
            written.append(text)
            shop.counts[split] += 1
        for chapter, lines in transcripts.items():
            speaker, number = chapter.split("/")
            shop.write(f"{ROOT}/{PARTS[split]}/{chapter}/{speaker}-{number}.trans.txt", sorted(lines))
        write_lengths(shop, PARTS[split], entries)
    shop.require_splits("transcribed utterances")
    shop.write(DICTIONARY, dictionary(written))
    return Layout(
        {
            "downstream_expert.datarc.libri_root": ROOT,
            "downstream_expert.datarc.bucket_file": LENGTHS,
            "downstream_expert.datarc.dict_path": DICTIONARY,
        }
    )


def add(shop: Workshop, split: str, name: str, speaker: str, wave: Wave) -> tuple[Entry, str]:
    """Write an utterance where LibriSpeech would have it.

    Returns:
        Its row in the list of lengths, and ``<speaker>/<chapter>``.
    """
    chapter = f"{plain(speaker)}/0"
    path = f"{PARTS[split]}/{chapter}/{shop.name(name)}.wav"
    shop.save(f"{ROOT}/{path}", wave)
    return Entry(path, len(wave)), chapter


def write_lengths(shop: Workshop, part: str, entries: Iterable[Entry]) -> None:
    """Write the list of lengths (in samples, as S3PRL's own script does) of a part of the corpus."""
    rows = sorted(entries, key=lambda entry: (-entry.samples, entry.path))
    shop.write(
        f"{LENGTHS}/{part}.csv", ["file_path,length", *(f"{entry.path},{entry.samples}" for entry in rows)]
    )


def plain(speaker: str) -> str:
    """Return a speaker's name as a folder's: letters and digits only, since S3PRL splits names at hyphens."""
    return "".join(char for char in speaker if char.isalnum()) or "unknown"
