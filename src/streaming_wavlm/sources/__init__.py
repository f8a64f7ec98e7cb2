"""Where live audio comes from, and the bounded queue between it and whoever computes."""

from .capture import Capture, Packet
from .named import open_source
from .source import Source

__all__ = ["Capture", "Packet", "Source", "open_source"]
