"""The picture of streamed features."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from streaming_wavlm.demo.picture import distance, draw, self_similarity
from streaming_wavlm.demo.streaming import Measurement
from streaming_wavlm.errors import MissingDependencyError


def measurement(name: str, layers: int, frames: int, seed: int = 0) -> Measurement:
    features = np.random.default_rng(seed).standard_normal((layers, frames, 6)).astype(np.float32)
    return Measurement(name, 200, 219.9375, 0.01, 3.0, 1e-6, 1.0, features)


@pytest.mark.parametrize(("layers", "frames"), [(1, 3), (2, 60), (12, 500)])
def test_it_draws_a_png_for_any_number_of_layers_and_frames(layers: int, frames: int, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    rows = [measurement(f"{200 * row} ms", layers, frames, row) for row in range(1, 4)]
    draw(path, np.zeros(frames * 320, dtype=np.float32), rows, "random weights", seconds=4)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 500
    assert height > 500
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


def test_self_similarity_finds_the_same_sound_again() -> None:
    rng = np.random.default_rng(0)
    sound, pause, noise = rng.standard_normal((3, 8)).astype(np.float32)
    similarity = self_similarity(np.stack([sound, pause, sound, noise]) + 5)
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-5)
    assert similarity[0, 2] == pytest.approx(1, abs=1e-5)
    assert similarity[0, 1] < 0.9
    assert np.isfinite(self_similarity(np.ones((4, 8), dtype=np.float32))).all()


def test_distance_is_relative_to_the_size_of_the_reference() -> None:
    reference = np.random.default_rng(0).standard_normal((2, 50, 8)).astype(np.float32)
    assert distance(reference, reference).max() == 0
    shifted = reference.copy()
    shifted[1, 7] += 1.0
    far = distance(shifted, reference)
    assert far.shape == (2, 50)
    assert np.flatnonzero(far).tolist() == [57]
    np.testing.assert_allclose(distance(shifted * 9, reference * 9), far, rtol=1e-5)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"streaming-wavlm\[plot\]"):
        draw(tmp_path / "a.png", np.zeros(960, dtype=np.float32), [measurement("a", 1, 3)], "")
