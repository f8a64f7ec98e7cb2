"""Clients of a live server, waiting and asynchronous; both go on after a lost connection."""

from .asynchronous import AsyncClient
from .blocking import Client
from .conversation import Event

__all__ = ["AsyncClient", "Client", "Event"]
