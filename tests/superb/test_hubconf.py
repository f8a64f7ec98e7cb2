"""``torch.hub`` on this repository."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from streaming_wavlm.presets import UPSTREAMS

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "hubconf.py").is_file(), reason="needs a checkout")


@pytest.fixture(autouse=True)
def path(monkeypatch) -> None:
    """Leave the search path as it was."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_entry_points_are_the_six_upstreams() -> None:
    hubconf = torch.hub._import_module("hubconf", ROOT / "hubconf.py")
    assert {name for name in dir(hubconf) if name.startswith("streaming")} == set(UPSTREAMS)
    assert "200 ms" in hubconf.streaming_wavlm_200ms.__doc__


def test_an_entry_point_loads_a_checkpoint(checkpoint) -> None:
    upstream = torch.hub.load(str(ROOT), "streaming_wavlm_800ms", source="local", ckpt=str(checkpoint))
    assert upstream([torch.zeros(800)])["last_hidden_state"].shape == (1, 3, 16)
    assert upstream.model.config.chunk_ms == 800
