"""Origins of pages, as browsers write them, and names that mean this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def normal_origin(text: str) -> str | None:
    """Return an origin in the one spelling that browsers use, or None if it is none.

    Args:
        text: such as ``https://app.example``.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    beside = parts.path.removeprefix("/") or parts.query or parts.fragment or "@" in parts.netloc
    if not parts.scheme or not parts.hostname or beside:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def host_of(origin: str) -> str:
    """Return the name or address in an origin that ``normal_origin`` gave."""
    return urlsplit(origin).hostname or ""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
