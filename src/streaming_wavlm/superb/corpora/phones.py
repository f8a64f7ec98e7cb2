"""The 41 classes of frame-wise phone recognition: silence, a speaker's noises, and the 39 English phones."""

from __future__ import annotations

SILENCE, SPOKEN_NOISE = "SIL", "SPN"
_ENGLISH = """
AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
"""
PHONES = (SILENCE, SPOKEN_NOISE, *_ENGLISH.split())
CLASSES = {phone: number for number, phone in enumerate(PHONES)}


def parse_phones(text: str) -> tuple[tuple[str, ...], ...]:
    """Read ARPAbet phones, words separated by ``|``, with or without stress; returned without.

    Args:
        text: such as ``AY0 | AH0 M``.
    """
    words = (tuple(phone.upper().rstrip("012") for phone in word.split()) for word in text.split("|"))
    return tuple(word for word in words if word)


def unknown_phones(phones: tuple[tuple[str, ...], ...]) -> set[str]:
    """Return the phones that are none of the 41 classes."""
    return {phone for word in phones for phone in word} - set(CLASSES)
