"""The cache of features: what it gives back, when it holds its tongue, and what training makes of it."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streaming_wavlm.errors import InputError, SuperbError
from streaming_wavlm.superb import factories, feature_cache, feature_store
from streaming_wavlm.superb.feature_cache import CachedUpstream, from_environment
from streaming_wavlm.superb.feature_store import FeatureStore
from streaming_wavlm.superb.upstream import UpstreamExpert
from tiny import noise, tiny_model, worst

WAVS = [noise(samples, seed=samples, dtype=torch.float32) for samples in (9000, 4001, 6400, 12345)]


def expert(**changes) -> UpstreamExpert:
    return UpstreamExpert(tiny_model(dtype=torch.float32, **changes))


def cached(folder: Path, max_bytes: int = 10**9, **changes) -> CachedUpstream:
    return CachedUpstream(expert(**changes), folder, max_bytes)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.npy"))


@torch.no_grad()
def features(upstream: nn.Module, wavs=WAVS) -> tuple[torch.Tensor, ...]:
    return upstream(wavs)["hidden_states"]


def losses(upstream: nn.Module, steps: int = 12) -> list[float]:
    """Train a head on a frozen upstream the way S3PRL does: weighted layers, batches in random order."""
    torch.manual_seed(0)
    head = nn.Linear(16, 3)
    mix = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([*head.parameters(), mix], lr=1e-2)
    found = []
    for _ in range(steps):
        chosen = torch.randperm(len(WAVS))[:2].tolist()
        with torch.no_grad():
            hidden = torch.stack(list(upstream([WAVS[i] for i in chosen])["hidden_states"]))
        mixed = (mix.softmax(0)[:, None, None, None] * hidden).sum(0)
        pooled = torch.stack(
            [row[: -(-len(WAVS[i]) // 320)].mean(0) for row, i in zip(mixed, chosen, strict=True)]
        )
        loss = nn.functional.cross_entropy(head(pooled), torch.tensor(chosen) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_the_features_are_those_of_the_upstream_and_are_computed_once(tmp_path, monkeypatch) -> None:
    upstream = cached(tmp_path)
    plain = features(expert())
    assert worst(features(upstream), plain) < 1e-5
    assert (upstream.hits, upstream.misses) == (0, 4)
    monkeypatch.setattr(UpstreamExpert, "forward", None)
    again = features(upstream)
    assert worst(again, plain) < 1e-5
    assert (upstream.hits, upstream.misses) == (4, 4)
    assert all(not layer[1, 13:].any() for layer in again)


def test_the_answer_has_all_that_s3prl_looks_at(tmp_path) -> None:
    upstream = cached(tmp_path)
    with torch.no_grad():
        ours, theirs = upstream(WAVS), expert()(WAVS)
    assert ours.keys() == theirs.keys()
    assert ours["last_hidden_state"] is ours["hidden_states"][-1]
    assert isinstance(upstream, UpstreamExpert)
    assert upstream.get_downsample_rates("PR") == 320
    assert upstream.state_dict().keys() == expert().state_dict().keys()


def test_features_are_a_function_of_the_recording_to_the_last_bit(tmp_path) -> None:
    cold = features(cached(tmp_path / "a"))
    alone = [features(cached(tmp_path / "b"), [wav]) for wav in WAVS]
    full = features(cached(tmp_path / "c", max_bytes=1))
    warm = features(cached(tmp_path / "a"))
    for row, single in enumerate(alone):
        frames = single[0].shape[1]
        for together in (cold, full, warm):
            assert all(torch.equal(a[row, :frames], b[0]) for a, b in zip(together, single, strict=True))


def test_training_is_that_of_the_uncached_upstream(tmp_path) -> None:
    plain = losses(expert())
    cold, warm = losses(cached(tmp_path)), losses(cached(tmp_path))
    assert plain == pytest.approx(cold, rel=1e-5, abs=1e-7)
    assert cold == warm
    assert plain[-1] < plain[0]


@pytest.mark.parametrize("broken", ["samples", "length", "weights", "chunk"])
def test_a_key_that_forgets_something_would_be_seen(tmp_path, monkeypatch, broken) -> None:
    first = {"weights": {"seed": 1}, "chunk": {"chunk_ms": 200}}.get(broken, {})
    config = {"lookahead_size": "chunk"}
    plain = losses(expert(**config))
    if broken == "samples":
        monkeypatch.setattr(CachedUpstream, "_key", lambda self, wav: f"{len(wav) > 5000}")
        monkeypatch.setattr(feature_store.FeatureStore, "read", _any_shape)
    elif broken == "length":
        monkeypatch.setattr(CachedUpstream, "_key", lambda self, wav: f"{float(wav.sum()) > 0}")
        monkeypatch.setattr(feature_store.FeatureStore, "read", _any_shape)
    elif broken == "weights":
        monkeypatch.setattr(feature_cache, "weights_digest", lambda model: "")
    else:
        chunkless = lambda self: feature_cache.weights_digest(self.model)[:16]  # noqa: E731
        monkeypatch.setattr(CachedUpstream, "_identity", chunkless)
    if first:
        losses(cached(tmp_path, **first, **config))
    assert losses(cached(tmp_path, **config)) != pytest.approx(plain, rel=1e-5, abs=1e-7)


def _any_shape(self, identity, key, shape):
    path = self._path(identity, key)
    if not path.exists():
        return None
    return np.resize(np.load(path), shape)


def test_other_weights_chunks_and_samples_are_other_files(tmp_path) -> None:
    for changes in ({}, {"seed": 1}, {"chunk_ms": 200}, {"window_size": 16}):
        features(cached(tmp_path, **changes), WAVS[:1])
    features(cached(tmp_path), [WAVS[0].clone().add_(1e-6)])
    features(cached(tmp_path), WAVS[:1])
    assert len(files(tmp_path)) == 5


def test_gradients_and_training_mode_pass_the_cache_by(tmp_path) -> None:
    upstream = cached(tmp_path)
    upstream(WAVS)["last_hidden_state"].sum().backward()
    assert upstream.model.feature_proj.weight.grad is not None
    upstream.train()
    features(upstream)
    # Whose weights have been trained is not kept either when it is evaluated on the way.
    upstream.eval()
    features(upstream)
    assert files(tmp_path) == []


def test_half_precision_passes_the_cache_by(tmp_path) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        features(cached(tmp_path))
    features(CachedUpstream(UpstreamExpert(tiny_model()), tmp_path, 10**9), [noise(4000)])
    assert files(tmp_path) == []


def test_weights_that_are_loaded_later_are_seen(tmp_path) -> None:
    upstream = cached(tmp_path)
    before = features(upstream)
    upstream.load_state_dict(expert(seed=1).state_dict())
    after = features(upstream)
    assert worst(after, before) > 1e-3
    assert worst(after, features(expert(seed=1))) < 1e-5


def test_a_step_of_an_optimizer_is_seen(tmp_path) -> None:
    upstream = cached(tmp_path)
    before = features(upstream)
    optimizer = torch.optim.SGD(upstream.parameters(), lr=1e-2)
    upstream(WAVS)["last_hidden_state"].square().sum().backward()
    optimizer.step()
    assert worst(features(upstream), before) > 1e-6
    assert len(files(tmp_path)) == 8


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [_cut, _flip, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"no array")]
)
def test_a_damaged_file_is_computed_again(tmp_path, caplog, damage) -> None:
    good = features(cached(tmp_path))
    path = files(tmp_path)[0]
    damage(path)
    upstream = cached(tmp_path)
    assert worst(features(upstream), good) == 0
    assert (upstream.hits, upstream.misses) == (3, 1)
    assert f"{path} are damaged" in caplog.text
    assert cached(tmp_path).store.read(path.parts[-3], path.stem, (2, *_frames(path))) is not None


def _frames(path: Path) -> tuple[int, int]:
    return np.load(path).shape[1:]


def test_a_full_folder_takes_nothing_more_and_says_so_once(tmp_path, caplog) -> None:
    size = 2 * 29 * 16 * 4
    upstream = cached(tmp_path, max_bytes=2 * size + 512)
    assert worst(features(upstream), features(expert())) < 1e-5
    features(upstream)
    stored = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 0 < stored <= 2 * size + 512
    assert caplog.text.count("no more features are kept") == 1


def test_what_nobody_uses_makes_room(tmp_path) -> None:
    features(cached(tmp_path, seed=1))
    old = files(tmp_path)
    for path in old:
        os.utime(path, (1, 1))
    used = sum(path.stat().st_size for path in old)
    features(cached(tmp_path, seed=1, max_bytes=used + 100), WAVS[:1])
    upstream = cached(tmp_path, max_bytes=used + 100)
    features(upstream, WAVS[1:3])
    assert upstream.store.storing
    left = files(tmp_path)
    # The one that was read since is kept, what had to go is of the others.
    assert len([path for path in left if path in old]) < 4
    assert any(path in old and np.load(path).shape[1] == 29 for path in left)
    assert sum(path.stat().st_size for path in left) <= used + 100


def filled(folder: Path, room: int) -> tuple[FeatureStore, np.ndarray]:
    """A store with room for so many arrays and three in it, and an array."""
    array = np.ones((1, 100, 25), np.float32)
    store = FeatureStore(folder, room * (array.nbytes + 256))
    for key in "abc":
        store.write("x", key, array)
    return store, array


def test_what_another_process_reads_makes_no_room(tmp_path, monkeypatch) -> None:
    old, array = filled(tmp_path, room=4)
    for key in "abc":
        old.read("x", key, array.shape)
    past = time.time() - 1000.0
    for path in tmp_path.glob("*/*/*.npy"):
        os.utime(path, (past, past))
    monkeypatch.setattr(feature_store, "_MARK_SECONDS", 0.0)
    old.read("x", "a", array.shape)  # as it does in every epoch
    new = FeatureStore(tmp_path, old.max_bytes)
    for key in "defg":
        new.write("x", key, array)
    assert new.read("x", "d", array.shape) is not None
    assert old.read("x", "a", array.shape) is not None
    assert old.read("x", "b", array.shape) is None


def test_what_a_task_before_has_left_makes_room_once_it_is_no_longer_used(tmp_path, monkeypatch) -> None:
    old, array = filled(tmp_path, room=3)
    new = FeatureStore(tmp_path, old.max_bytes)
    new.write("x", "d", array)
    assert new.read("x", "d", array.shape) is None
    assert not new.storing
    now = time.time()
    monkeypatch.setattr(feature_store.time, "time", lambda: now + 301.0)
    assert new.storing
    for key in "defg":  # and what it uses itself stays, however long ago
        new.write("x", key, array)
    assert [new.read("x", key, array.shape) is not None for key in "adefg"] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("")
    upstream = cached(tmp_path / "file")
    assert worst(features(upstream), features(expert())) < 1e-5
    assert "the run goes on without" in caplog.text


def _fill(folder: Path) -> None:
    torch.set_num_threads(1)
    for _ in range(3):
        features(cached(folder))


def test_many_processes_may_write_at_once(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(files(tmp_path)) == 4
    assert list(tmp_path.rglob("*.tmp")) == []
    upstream = cached(tmp_path)
    assert worst(features(upstream), features(expert())) < 1e-5
    assert upstream.misses == 0


def test_bad_recordings_are_the_errors_of_the_upstream(tmp_path) -> None:
    with pytest.raises(InputError, match="recording 1 of the batch is empty"):
        features(cached(tmp_path), [WAVS[0], torch.zeros(0)])
    with pytest.raises(InputError, match="NaN"):
        features(cached(tmp_path), [torch.tensor([float("nan")])])
    assert files(tmp_path) == []


def test_the_environment_switches_it_on(tmp_path, checkpoint, monkeypatch, caplog) -> None:
    assert type(factories.streaming_wavlm_400ms(ckpt=checkpoint)) is UpstreamExpert
    monkeypatch.setenv("STREAMING_WAVLM_FEATURES", str(tmp_path))
    monkeypatch.setenv("STREAMING_WAVLM_FEATURES_GB", "1.5")
    with caplog.at_level(logging.INFO):
        upstream = factories.streaming_wavlm_400ms(ckpt=checkpoint)
    assert isinstance(upstream, CachedUpstream)
    assert upstream.store.max_bytes == 1_500_000_000
    assert "1.5 GB at most" in caplog.text


@pytest.mark.parametrize("size", ["0", "-1", "much", "inf", "nan"])
def test_a_size_that_is_none_is_a_clear_error(size) -> None:
    environment = {"STREAMING_WAVLM_FEATURES": "x", "STREAMING_WAVLM_FEATURES_GB": size}
    with pytest.raises(SuperbError, match=f"positive number of gigabytes, got '{size}'"):
        from_environment(expert(), environment)


def test_the_key_is_of_the_samples_and_not_of_the_file(tmp_path) -> None:
    upstream = cached(tmp_path)
    features(upstream, WAVS[:1])
    digest = hashlib.sha256(WAVS[0].numpy().tobytes()).hexdigest()
    assert files(tmp_path)[0].stem == digest[:32]
