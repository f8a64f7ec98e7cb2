"""What a server allows, so that nobody can make it grow or wait without bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        streams: connections at a time; one more is answered with HTTP 503.
        packet_bytes: the longest message of a client.
        buffer_seconds: audio of a stream that may wait for the model; beyond it, its packets are not read.
        rate: audio per second of a stream, as a multiple of real time; faster packets are not read yet.
        burst_seconds: audio that a stream may send at once before ``rate`` counts.
        outbox_bytes: features that may wait for a client to read them; beyond it, the client is closed.
        send_seconds: the longest that sending one message may take.
        hello_seconds: time to say hello.
        idle_seconds: time without a message after which a stream is closed.
        stream_seconds: audio of a stream, from its first sample on.
        batch: streams in one step of the model.
        wait_ms: how long a chunk waits for company, while other streams are open.
        parked: streams whose connection was lost, kept for it to come back.
        parked_seconds: how long.
        parked_bytes: memory that they may take, all together.
        replay_bytes: features per stream that are kept in case they did not arrive.
        drain_seconds: how long a server that is told to stop goes on with what it has taken.
        stats_seconds: time between two messages about a stream; 0 for none.

    Raises:
        ConfigError: a limit is infinite, NaN or not above 0 (``parked``, ``wait_ms`` and ``stats_seconds``
            may be 0).
    """

    streams: int = 64
    packet_bytes: int = 2**20
    buffer_seconds: float = 30.0
    rate: float = 16.0
    burst_seconds: float = 30.0
    outbox_bytes: int = 64 * 2**20
    send_seconds: float = 10.0
    hello_seconds: float = 10.0
    idle_seconds: float = 60.0
    stream_seconds: float = 24 * 3600.0
    batch: int = 32
    wait_ms: float = 4.0
    parked: int = 64
    parked_seconds: float = 60.0
    parked_bytes: int = 2**30
    replay_bytes: int = 16 * 2**20
    drain_seconds: float = 10.0
    stats_seconds: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least_is_zero = field.name in ("parked", "wait_ms", "stats_seconds")
            # Infinity has no place in JSON, and limits are told to clients.
            if not math.isfinite(value) or value < 0 or (value == 0 and not least_is_zero):
                raise ConfigError(
                    f"the limit {field.name} must be {'from' if least_is_zero else 'above'} 0 and finite, "
                    f"got {value!r}"
                )
