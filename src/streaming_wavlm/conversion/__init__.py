"""Conversion of offline WavLMs: to a student's initialisation, or to the bidirectional reference."""

from .converter import convert

__all__ = ["convert"]
