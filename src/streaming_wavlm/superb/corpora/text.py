"""Transcripts as S3PRL's speech recognition takes them, and its dictionary of characters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

# Always in the dictionary, so that models trained on different small corpora have the same outputs.
_ENGLISH = "ETAONIHSRDLUMWCFGYPBVK'XJQZ"
_WORD_END = "|"


def normalised(text: str) -> str:
    """Return a transcript in capitals, with letters, digits and apostrophes only; empty if there are none."""
    text = unicodedata.normalize("NFC", text).replace("\u2019", "'").upper()
    kept = "".join(
        char if char.isalnum() or char == "'" or unicodedata.category(char)[0] == "M" else " "
        for char in text
    )
    return " ".join(word for word in kept.split() if any(map(str.isalnum, word)))


def dictionary(transcripts: Iterable[str]) -> list[str]:
    """Return the lines of a character dictionary: the end of a word, English letters, what else occurs.

    Args:
        transcripts: normalised.
    """
    counts: Counter[str] = Counter()
    for transcript in transcripts:
        counts.update(f"{transcript} ".replace(" ", _WORD_END))
    symbols = [_WORD_END, *_ENGLISH]
    symbols += sorted(set(counts) - set(symbols), key=lambda symbol: (-counts[symbol], symbol))
    return [f"{symbol} {counts[symbol]}" for symbol in symbols]
