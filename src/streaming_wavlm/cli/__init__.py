"""The command ``streaming-wavlm``; the only place that prints."""

from .main import main

__all__ = ["main"]
