"""What S3PRL wrote down for TensorBoard while it trained."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from pathlib import Path

from .. import compat

_HEADER, _FOOTER = 12, 4  # the length and its checksum, the record's checksum


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return every curve of an experiment, those of resumed parts joined.

    Args:
        folder: of the experiment.

    Returns:
        name → step → value.

    Raises:
        MissingDependencyError: tensorboardX, which wrote them, is not installed.
    """
    compat.require("tensorboardX", "S3PRL logs with it")
    event_type = importlib.import_module("tensorboardX.proto.event_pb2").Event
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in _records(path.read_bytes()):
            event = event_type.FromString(record)
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a file; one that was cut off when the process was killed is left out."""
    position = 0
    while position + _HEADER <= len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        begin = position + _HEADER
        position = begin + length + _FOOTER
        if position <= len(data):
            yield data[begin : begin + length]
