"""Warnings come before a limit does its work, and once."""

from __future__ import annotations

import json

import pytest
import torch

from live import live, speech
from streaming_wavlm.client import Client
from streaming_wavlm.errors import ServerError
from streaming_wavlm.serve import Limits
from streaming_wavlm.serve.alerts import Alerts
from tiny import tiny_model

CALM = {"waiting": 0.0, "unread": 0, "seconds": 1.0, "draining": False}


@pytest.mark.parametrize(
    ("about", "well", "tight"),
    [
        ("behind", {"waiting": 14.0}, {"waiting": 15.0}),
        ("slow", {"unread": 400}, {"unread": 500}),
        ("long", {"seconds": 89.0}, {"seconds": 90.0}),
        ("stopping", {"draining": False}, {"draining": True}),
    ],
)
def test_a_client_is_warned_once_and_again_after_things_were_well(about, well, tight) -> None:
    alerts = Alerts(Limits(buffer_seconds=30.0, outbox_bytes=1000, stream_seconds=100.0))
    assert alerts.due(**CALM) == alerts.due(**{**CALM, **well}) == []
    (warning,) = (json.loads(text) for text in alerts.due(**{**CALM, **tight}))
    assert (warning["type"], warning["about"]) == ("warning", about)
    assert alerts.due(**{**CALM, **tight}) == []
    assert alerts.due(**CALM) == []
    assert len(alerts.due(**{**CALM, **tight})) == 1


def test_a_stream_is_told_before_it_is_too_long_and_before_the_server_stops() -> None:
    model = tiny_model(dtype=torch.float32, window_size=24)
    with (
        live(model, stream_seconds=2.0) as server,
        Client(server.url, encoding="float32", retries=0) as client,
    ):
        client.send(speech(1.9))
        assert warning_of(client) == "long"
        server.server.should_exit = True
        assert warning_of(client) == "stopping"
        with pytest.raises(ServerError, match="the server is stopping"):
            warning_of(client)


def warning_of(client: Client) -> str:
    while True:
        event = client.receive(timeout=5)
        if isinstance(event, dict) and event["type"] == "warning":
            return event["about"]
