"""Simulated conversations of two for speaker diarization, as Kaldi folders with the truth as RTTM."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from ....config import SAMPLE_RATE
from ..activity import speech_pieces
from ..kaldi import Segment, write_scp, write_segments
from ..mixing import as_pcm, at_ratio, refuse_shared_speakers, speaker_pairs
from ..records import SPLITS, Material
from ..workshop import Layout, Wave, Workshop

_PAUSE_SECONDS = 1.0
_LONGEST = 20.0
_LEVEL_DB = 3.0
_GRID = SAMPLE_RATE // 100

Turn = tuple[int, int]


def lay_out_diarization(material: Material, shop: Workshop) -> Layout:
    """Write recordings in which two speakers talk, partly at once.

    An utterance of each of two speakers is cut at its pauses. Each speaker's pieces follow one another, with
    pauses drawn from an exponential distribution, 1 s on average; the second speaker begins at a random time
    within the first half of the first one's. They are added with a level difference of up to 3 dB, and the
    recording ends with the speech, or after 20 s. The truth is where the pieces are. Speakers are disjoint
    between splits.

    Raises:
        SuperbError: a split has fewer than two speakers, or a speaker is in two.
    """
    speakers = [utterance for utterance in material.utterances if utterance.speaker]
    shop.skip("no speaker", len(material.utterances) - len(speakers))
    refuse_shared_speakers(speakers)
    both = either = 0.0
    for split in SPLITS:
        rng = shop.rng(f"diarization {split}")
        pool = [utterance for utterance in speakers if utterance.split == split]
        segments: list[Segment] = []
        audio: dict[str, str | Path] = {}
        seconds: dict[str, float] = {}
        for first, second in speaker_pairs(pool, material.mixtures.get(split, len(pool)), rng):
            tracks: list[tuple[Wave, list[Turn]]] = []
            for utterance in (first, second):
                wave = shop.read(utterance)
                if wave is not None and (turns := speech_pieces(wave)):
                    begin = _on_grid(rng.random() * len(tracks[0][0]) / 2) if tracks else 0
                    tracks.append(_track(wave, turns, begin, rng))
            if len(tracks) < 2:
                shop.skip("mixture without two usable recordings")
                continue
            name = f"{split}{len(audio):04}"
            mixture, active = _mixed(tracks, rng)
            path = f"{split}/wav/{name}.wav"
            audio[name], seconds[name] = path, len(mixture) / SAMPLE_RATE
            shop.save(path, mixture)
            for utterance, turns in zip((first, second), active, strict=True):
                speaker = shop.folder_name(utterance.speaker)
                segments += [Segment(name, speaker, a / SAMPLE_RATE, b / SAMPLE_RATE) for a, b in turns]
            together = _both(active, len(mixture))
            both, either = both + together[0], either + together[1]
        shop.counts[split] = len(audio)
        if audio:
            write_scp(shop, split, audio, {name: name for name in audio})
            write_segments(shop, split, segments, seconds)
    shop.require_splits("conversations")
    share = 100 * both / either
    note = f"simulated conversations of two speakers, who talk at once in {share:.0f} % of the speech"
    return Layout({f"downstream_expert.loaderrc.{split}_dir": split for split in SPLITS}, notes=(note,))


def _track(wave: Wave, pieces: list[Turn], begin: int, rng: random.Random) -> tuple[Wave, list[Turn]]:
    """Return a speaker's side of a conversation from sample ``begin`` on, and where there is speech in it."""
    limit = round(_LONGEST * SAMPLE_RATE)
    parts, turns, now = [np.zeros(begin, dtype=np.float32)], [], begin
    for start, end in pieces:
        pause = _on_grid(rng.expovariate(1 / _PAUSE_SECONDS) * SAMPLE_RATE)
        length = _on_grid(min(end - start, limit - now - pause))
        if length < SAMPLE_RATE // 5:
            break
        parts += [np.zeros(pause, dtype=np.float32), wave[start : start + length]]
        turns.append((now + pause, now + pause + length))
        now = turns[-1][1]
    return np.concatenate(parts), turns


def _on_grid(samples: float) -> int:
    """Return whole hundredths of a second, so that the lists say exactly where speech is."""
    return int(samples) // _GRID * _GRID


def _mixed(tracks: list[tuple[Wave, list[Turn]]], rng: random.Random) -> tuple[np.ndarray, list[list[Turn]]]:
    length = max(len(wave) for wave, _ in tracks)
    first, second = (np.pad(wave, (0, length - len(wave))) for wave, _ in tracks)
    *_, mixture = as_pcm(first, at_ratio(first, second, rng.uniform(-_LEVEL_DB, _LEVEL_DB)))
    return mixture, [turns for _, turns in tracks]


def _both(active: list[list[Turn]], length: int) -> tuple[int, int]:
    """Return the samples in which both speak, and in which anybody does."""
    talking = np.zeros(length, dtype=np.int8)
    for turns in active:
        for start, end in turns:
            talking[start:end] += 1
    return int((talking == 2).sum()), int((talking > 0).sum())
