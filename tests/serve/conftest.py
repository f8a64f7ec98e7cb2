"""The small model that most of these tests serve, and a server of it with the usual limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from live import Live, live
from streaming_wavlm.model import StreamingWavLM
from tiny import tiny_model


@pytest.fixture(scope="module")
def model() -> StreamingWavLM:
    return tiny_model(dtype=torch.float32, window_size=24)


@pytest.fixture(scope="module")
def server(model: StreamingWavLM) -> Iterator[Live]:
    with live(model) as running:
        yield running
