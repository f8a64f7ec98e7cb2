"""Addresses of servers: what is one, and what is said of what is none."""

from __future__ import annotations

import pytest

from streaming_wavlm.client import Client
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.errors import ServerError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/stream"),
        ("localhost:8765/", "ws://localhost:8765/v1/stream"),
        ("https://a.example", "wss://a.example/v1/stream"),
        ("ws://[::1]:80/other?x=1", "ws://[::1]:80/other?x=1"),
    ],
)
def test_an_address_is_completed(given, expected) -> None:
    assert stream_url(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://",
        "http://[::1",
        "http://h:99999",
        "http://h:x",
        "http://:80",
        "http://a b",
        "h:0",
        "ftp://h",
    ],
)
def test_what_is_no_address_is_a_sentence(given) -> None:
    with pytest.raises(ServerError, match=r"like http://127\.0\.0\.1:8765.*got"):
        Client(given)
