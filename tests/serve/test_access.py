"""Whose pages may connect: their origins, however they are written, and names that lead to this machine."""

from __future__ import annotations

import pytest
import torch
from starlette.requests import HTTPConnection
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from live import live
from streaming_wavlm.client.dialling import stream_url
from streaming_wavlm.errors import ConfigError
from streaming_wavlm.serve.access import Access
from tiny import tiny_model


def status(access: Access, origin: str, host: str = "127.0.0.1:8765") -> int:
    """What a page gets: 101 if it may connect."""
    headers = [(b"origin", origin.encode()), (b"host", host.encode())]
    refusal = access.refusal(HTTPConnection({"type": "websocket", "headers": headers}))
    return 101 if refusal is None else refusal[0]


@pytest.mark.parametrize("origin", ["http://[", "http://a:b", "http://", "", "null", "x", "http://[::1]x"])
def test_an_origin_that_is_none_is_refused(origin) -> None:
    assert status(Access(), origin) == 403


def test_a_server_tells_a_page_whose_origin_is_none() -> None:
    with (
        live(tiny_model(dtype=torch.float32)) as server,
        pytest.raises(InvalidStatus) as refused,
        connect(stream_url(server.url), additional_headers={"Origin": "http://["}),
    ):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("listens", "name", "expected"),
    [
        ("127.0.0.1", "127.0.0.1:8765", 101),
        ("127.0.0.1", "localhost:8765", 101),
        ("127.0.0.1", "LOCALHOST:8765", 101),
        ("::1", "[::1]:8765", 101),
        ("127.0.0.1", "attacker.example:8765", 403),
        ("localhost", "localhost.attacker.example", 403),
        ("127.0.0.1", "app.example", 101),  # named by --origin
        ("0.0.0.0", "box.lan:8765", 101),  # reached by names that the server cannot know
    ],
)
def test_a_page_is_the_servers_own_only_under_a_name_of_this_machine(listens, name, expected) -> None:
    access = Access(origins=("https://app.example",), host=listens)
    assert status(access, f"http://{name}", name) == expected
    assert status(access, f"http://{name}", "127.0.0.2") == 403


@pytest.mark.parametrize(
    "given", ["https://app.example", "https://app.example/", "HTTPS://App.Example", "https://app.example:443"]
)
def test_an_origin_is_the_same_however_it_is_written(given) -> None:
    access = Access(origins=(given,))
    assert status(access, "https://app.example") == 101
    assert status(access, "https://app.example:444") == 403
    assert status(access, "http://app.example") == 403


@pytest.mark.parametrize("given", ["app.example", "https://app.example/page", "https://", "https://a:b", ""])
def test_what_is_no_origin_cannot_be_allowed(given) -> None:
    with pytest.raises(ConfigError, match=r"such as https://app\.example"):
        Access(origins=(given,))


def test_pages_without_an_origin_may_be_named() -> None:
    assert status(Access(origins=("null",)), "null") == 101
    assert status(Access(origins=("*",)), "null") == 101
