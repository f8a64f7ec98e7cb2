"""What the demo measures."""

from __future__ import annotations

import pytest
import torch

from streaming_wavlm.demo import streaming
from tiny import noise, tiny_model


def test_every_preset_is_measured_and_streams_what_one_pass_gives() -> None:
    model = tiny_model(dtype=torch.float32)
    wav = noise(16000 * 2 + 77, dtype=torch.float32).numpy()
    measured = list(streaming.measure_all(model, wav))
    assert [item.chunk_ms for item in measured] == [200, 400, 800, 1000, 10_000]
    assert [item.name for item in measured][::4] == ["200 ms", "offline (10 s)"]
    for item in measured:
        assert item.features.shape == (2, 101, 16)
        assert item.difference < 1e-4
        assert item.latency_ms == pytest.approx(item.chunk_ms + 19.9375)
        assert 0 < item.real_time_factor < 50
        assert item.magnitude > 0.01


def test_a_session_that_loses_audio_shows_as_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Muffled(streaming.StreamSession):
        def push(self, packet: object) -> torch.Tensor:
            return super().push(packet * 0.5)  # type: ignore[operator]

    monkeypatch.setattr(streaming, "StreamSession", Muffled)
    wav = noise(16000, dtype=torch.float32).numpy()
    muffled = streaming.measure(tiny_model(dtype=torch.float32), wav * 1e-3, "muffled")
    assert muffled.difference > 1e-2
