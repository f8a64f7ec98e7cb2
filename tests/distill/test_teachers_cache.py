"""Targets kept on disk."""

from __future__ import annotations

import errno

import pytest
import torch

from streaming_wavlm.distill.teachers import CachedTeacher, ReferenceTeacher, TeacherConfig, build
from streaming_wavlm.distill.teachers import cache as cache_module
from tiny import noise, tiny_model, worst

LENGTHS = torch.tensor([6400, 5001, 0])
WAVS = noise(3, 6400, dtype=torch.float32)


class Counting(ReferenceTeacher):
    """Counts the rows that it computes."""

    rows = 0

    def compute(self, wavs, lengths):
        self.rows += len(wavs)
        return super().compute(wavs, lengths)


class Wavering(Counting):
    """Its last digits depend on the batch, as on a device whose kernels do."""

    def compute(self, wavs, lengths):
        hidden, frames = super().compute(wavs, lengths)
        return [layer + 0.01 * len(wavs) for layer in hidden], frames


def teacher(seed: int = 0, layers=None) -> Counting:
    return Counting(tiny_model(seed, dtype=torch.float32), "r", layers=layers)


def test_targets_are_computed_once_whatever_the_batch(tmp_path) -> None:
    inner = teacher()
    cached = CachedTeacher(inner, tmp_path, 10**9)
    first = cached(WAVS, LENGTHS)
    plain = teacher()(WAVS, LENGTHS)
    assert worst(first.hidden_states, plain.hidden_states) < 5e-3
    assert first.lengths.tolist() == plain.lengths.tolist() == [20, 16, 0]
    assert (cached.hits, cached.misses, inner.rows) == (0, 3, 3)
    order = torch.tensor([1, 0])
    again = cached(torch.nn.functional.pad(WAVS[order], (0, 300)), LENGTHS[order])
    assert (cached.hits, inner.rows) == (2, 3)
    assert worst([h[order] for h in first.hidden_states], again.hidden_states) == 0
    other = CachedTeacher(teacher(), tmp_path, 10**9)
    assert worst(other(WAVS, LENGTHS).hidden_states, first.hidden_states) == 0
    assert (other.hits, other.misses) == (3, 0)


def test_other_audio_other_weights_and_other_layers_are_other_targets(tmp_path) -> None:
    CachedTeacher(teacher(), tmp_path, 10**9)(WAVS, LENGTHS)
    for inner, wavs in ((teacher(), WAVS * 1.0001), (teacher(seed=1), WAVS), (teacher(layers=(2,)), WAVS)):
        cached = CachedTeacher(inner, tmp_path, 10**9)
        found = cached(wavs[:2], LENGTHS[:2])
        assert cached.hits == 0
        assert worst(found.hidden_states, inner(wavs[:2], LENGTHS[:2]).hidden_states) < 5e-3


def test_the_folder_stays_within_its_budget_and_what_fits_is_used(tmp_path, caplog) -> None:
    cached = CachedTeacher(teacher(), tmp_path, 3000)
    targets = cached(WAVS, LENGTHS)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 3000
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1
    assert "no more targets are cached" in caplog.text
    assert worst(cached(WAVS, LENGTHS).hidden_states, targets.hidden_states) == 0
    assert cached.hits == 1
    assert cached.teacher.rows == 3 + 2 + 2  # what found no room in the first batch is computed again


def test_a_damaged_file_is_computed_again(tmp_path) -> None:
    cached = CachedTeacher(teacher(), tmp_path, 10**9)
    first = cached(WAVS, LENGTHS)
    for path in tmp_path.glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])
    again = CachedTeacher(teacher(), tmp_path, 10**9)
    assert worst(again(WAVS, LENGTHS).hidden_states, first.hidden_states) == 0
    assert again.misses == 3
    assert CachedTeacher(teacher(), tmp_path, 10**9)(WAVS, LENGTHS).lengths.tolist() == [20, 16, 0]


def test_a_full_disk_ends_the_caching_and_not_the_training(tmp_path, monkeypatch, caplog) -> None:
    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "save_file", full)
    cached = CachedTeacher(teacher(), tmp_path, 10**9)
    assert cached(WAVS, LENGTHS).lengths.tolist() == [20, 16, 0]
    assert "No space left" in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_values_too_large_for_float16_survive(tmp_path) -> None:
    inner = teacher(layers=(2,))
    inner.model.encoder.layers[1].feed_forward.out_proj.bias += 1e6
    first = CachedTeacher(inner, tmp_path, 10**9)(WAVS, LENGTHS)
    again = CachedTeacher(inner, tmp_path, 10**9)(WAVS, LENGTHS)
    assert torch.isfinite(first.layer(2)).all()
    assert first.layer(2).max() > 9e5
    assert torch.equal(first.layer(2), again.layer(2))


def test_a_recipe_can_ask_for_it(tmp_path) -> None:
    config = TeacherConfig("m", kind="logmel", cache=str(tmp_path), cache_gb=0.001)
    cached = build(config)
    assert isinstance(cached, CachedTeacher)
    assert cached.max_bytes == 1_000_000
    assert cached.spec == build(TeacherConfig("m", kind="logmel")).spec
    cached(WAVS, LENGTHS)
    cached(WAVS, LENGTHS)
    assert cached.hits == 3
    assert cached.description() == cached.teacher.description()


def test_positional_targets_are_the_teachers(tmp_path) -> None:
    inner = ReferenceTeacher(tiny_model(causal=False, front_pad="valid", dtype=torch.float32), "r")
    cached = CachedTeacher(inner, tmp_path, 10**9)
    assert torch.equal(cached.positional(WAVS, LENGTHS).outputs, inner.positional(WAVS, LENGTHS).outputs)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_run_killed_while_it_stored_a_batch_goes_on_the_same(tmp_path, monkeypatch, stop_after) -> None:
    undisturbed = CachedTeacher(Wavering(tiny_model(dtype=torch.float32), "r"), tmp_path / "a", 10**9)(
        WAVS, LENGTHS
    )
    killed = CachedTeacher(Wavering(tiny_model(dtype=torch.float32), "r"), tmp_path / "b", 10**9)
    stored = []
    store = killed._store

    def dying(path, row):
        if len(stored) == stop_after:
            raise KeyboardInterrupt
        stored.append(path)
        store(path, row)

    monkeypatch.setattr(killed, "_store", dying)
    with pytest.raises(KeyboardInterrupt):
        killed(WAVS, LENGTHS)
    resumed = CachedTeacher(Wavering(tiny_model(dtype=torch.float32), "r"), tmp_path / "b", 10**9)
    assert worst(resumed(WAVS, LENGTHS).hidden_states, undisturbed.hidden_states) == 0
    assert resumed.hits == stop_after


def wavering(folder, max_bytes: int) -> CachedTeacher:
    return CachedTeacher(Wavering(tiny_model(dtype=torch.float32), "r"), folder, max_bytes)


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_run_goes_on_the_same_after_its_cache_became_full(tmp_path, stop) -> None:
    """Stopped after any batch and gone on from any before: checkpoints are rarer than batches."""
    wavs = noise(9, 6400, dtype=torch.float32)
    # Short recordings still find room where longer ones do not: the second batch fills the cache.
    lengths = torch.tensor([6400, 6400, 1000, 6400, 6400, 1000, 6400, 1000, 1000])
    batches = [torch.tensor(rows) for rows in ([0, 1, 2], [1, 3, 4], [2, 4, 5], [0, 3, 6], [5, 7, 8, 0])]

    def heard(teacher: CachedTeacher, rows: list[torch.Tensor]) -> list[torch.Tensor]:
        return [hidden for row in rows for hidden in teacher(wavs[row], lengths[row]).hidden_states]

    room = 6900
    whole = heard(wavering(tmp_path / "whole", room), batches)
    assert len(list((tmp_path / "whole").glob("*/*.safetensors"))) == 4
    layers = len(whole) // len(batches)
    for start in range(stop + 1):
        folder = tmp_path / f"from{start}"
        heard(wavering(folder, room), batches[:stop])
        again = heard(wavering(folder, room), batches[start:])
        assert all(torch.equal(a, b) for a, b in zip(again, whole[start * layers :], strict=True)), start


def test_a_full_cache_takes_more_once_there_is_room(tmp_path) -> None:
    def kept() -> int:
        return len(list(tmp_path.glob("*/*.safetensors")))

    for _ in range(2):
        CachedTeacher(teacher(), tmp_path, 3000)(WAVS, LENGTHS)
        assert kept() == 1
    for path in tmp_path.glob("*/*.safetensors"):
        path.unlink()
    CachedTeacher(teacher(), tmp_path, 3000)(WAVS, LENGTHS)
    assert kept() == 1
    CachedTeacher(teacher(), tmp_path, 10**6)(WAVS, LENGTHS)
    assert kept() == 3
