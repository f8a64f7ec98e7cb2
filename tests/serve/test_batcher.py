"""The threads of the model: who is computed with whom, and that nobody notices."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from streaming_wavlm.engines import make_engine
from streaming_wavlm.errors import ConfigError
from streaming_wavlm.serve import build_service
from streaming_wavlm.serve.batcher import Batcher, Job
from streaming_wavlm.serve.metrics import Metrics
from tiny import noise, tiny_model

CHUNKS, STREAMS = 12, 6


class Counted:
    """A model that tells how many of its steps run at one time, and how many streams each has."""

    def __init__(self, model, meet: threading.Barrier | None = None) -> None:
        self.model, self.meet = model, meet
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        self.batches: list[int] = []

    def step(self, wavs, state, **options):
        self.batches.append(len(wavs))
        if self.meet is not None:
            self.meet.wait(20)
        return self.model.step(wavs, state, **options)


def job(model, samples: np.ndarray, state, done) -> Job:
    return Job(
        samples, state, False, model.config.chunk_ms, (0, -1 % model.config.num_layers), None, "float32", done
    )


def submit(batcher: Batcher, model, samples: np.ndarray) -> Future:
    future: Future = Future()
    batcher.submit(job(model, samples, model.init_state(1), lambda _, result: future.set_result(result)))
    return future


@pytest.fixture
def model():
    return tiny_model(dtype=torch.float32)


def audio(model, chunks: int, seed: int = 0) -> np.ndarray:
    return noise(chunks * model.config.chunk_samples, seed=seed).float().numpy()


@pytest.mark.parametrize("engine", ["eager", "packed"])
def test_workers_side_by_side_give_each_stream_what_it_gets_alone(model, engine) -> None:
    runs = make_engine(model, engine)
    size = runs.config.chunk_samples
    waves = [audio(model, CHUNKS, seed) for seed in range(STREAMS)]
    got: list[list[np.ndarray]] = [[] for _ in waves]
    over = threading.Barrier(STREAMS + 1)
    batcher = Batcher({runs.config.chunk_ms: runs}, batch=4, wait_ms=1.0, metrics=Metrics(), workers=3)
    batcher.company = lambda: STREAMS

    def go_on(row: int, state) -> None:
        place = len(got[row]) * size
        if place == len(waves[row]):
            threading.Thread(target=over.wait, args=(20,)).start()
            return

        def done(_, result) -> None:
            assert result.error is None
            got[row].append(result.features)
            go_on(row, result.state)

        batcher.submit(job(runs, waves[row][place : place + size], state, done))

    for row in range(STREAMS):
        go_on(row, runs.init_state(1))
    over.wait(60)
    batcher.close()
    for wave, features in zip(waves, got, strict=True):
        alone = model(torch.from_numpy(wave)[None]).hidden_states
        joined = np.concatenate(features, axis=1)
        frames = joined.shape[1]
        np.testing.assert_allclose(joined[0], alone[0][0, :frames].detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(joined[1], alone[-1][0, :frames].detach().numpy(), atol=1e-5)


def test_two_workers_compute_at_the_same_time_and_share_what_is_ready(model) -> None:
    counted = Counted(model, threading.Barrier(2))
    batcher = Batcher({model.config.chunk_ms: counted}, batch=8, wait_ms=5000.0, metrics=Metrics(), workers=2)
    batcher.company = lambda: 4
    results = [submit(batcher, model, audio(model, 1, seed)) for seed in range(4)]
    assert all(result.result(30).error is None for result in results)
    batcher.close()
    assert counted.batches == [2, 2]


def test_one_worker_computes_all_that_are_ready_in_one_step(model) -> None:
    counted = Counted(model)
    batcher = Batcher({model.config.chunk_ms: counted}, batch=8, wait_ms=2000.0, metrics=Metrics())
    batcher.company = lambda: 4
    results = [submit(batcher, model, audio(model, 1, seed)) for seed in range(4)]
    assert all(result.result(30).error is None for result in results)
    batcher.close()
    assert counted.batches == [4]


def test_closing_ends_every_thread_also_one_that_waits_for_company(model) -> None:
    batcher = Batcher({model.config.chunk_ms: model}, batch=8, wait_ms=60_000.0, metrics=Metrics(), workers=3)
    batcher.company = lambda: 2
    future = submit(batcher, model, audio(model, 1))
    before = threading.active_count()
    batcher.close()
    assert threading.active_count() == before - 3
    assert not future.done()


def test_workers_are_at_least_one_and_for_a_cpu(model) -> None:
    with pytest.raises(ConfigError, match="at least one worker, got 0"):
        build_service(model, workers=0)
    with pytest.raises(ConfigError, match=r"a GPU has one; got workers=2"):
        build_service(model.to("meta"), workers=2)
