"""Corpora laid out the way S3PRL's tasks want them, from the embedded speech, one's own or the real ones."""

from .prepared import Prepared, prepare

__all__ = ["Prepared", "prepare"]
