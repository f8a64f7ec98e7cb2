"""Both clients under one name, so that a test holds for either."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streaming_wavlm.client import AsyncClient, Client


class Waiting:
    """The asynchronous client, called like the other; its loop runs during a call only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.inner = AsyncClient(*arguments, **options)
        self._runner.run(self.inner.__aenter__())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return lambda *arguments: self._runner.run(method(*arguments))

    def until_end(self) -> list[Any]:
        async def everything() -> list[Any]:
            return [event async for event in self.inner.until_end()]

        return self._runner.run(everything())

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._runner.close()


both = pytest.mark.parametrize("kind", [Client, Waiting], ids=["waiting", "asynchronous"])
