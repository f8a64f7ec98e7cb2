from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.data import BatchPlan
from streaming_wavlm.errors import ConfigError


def lengths(count: int = 500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(8_000, 160_000, count)


def make(samples: np.ndarray, repeats: float = 1.0, **changes: int) -> BatchPlan:
    settings = {"batch_samples": 960_000, "buckets": 8, "seed": 1, **changes}
    return BatchPlan(samples, np.full(len(samples), repeats), **settings)


def epoch(plan: BatchPlan, number: int = 0, group: int = 1) -> list[np.ndarray]:
    first = number * plan.steps_per_epoch
    return [plan.batch(first + s, p) for s in range(plan.steps_per_epoch) for p in range(group)]


@given(
    count=st.integers(1, 200),
    buckets=st.integers(1, 12),
    group=st.integers(1, 5),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_recording_and_no_batch_is_too_large(
    count: int, buckets: int, group: int, seed: int
) -> None:
    samples = lengths(count, seed)
    plan = make(samples, buckets=buckets, group=group, seed=seed)
    batches = epoch(plan, 2, group)
    assert set(np.concatenate(batches).tolist()) == set(range(count))
    for batch in batches:
        assert len(batch)
        assert len(batch) * samples[batch].max() <= 960_000


def test_each_recording_occurs_once_where_the_batches_come_out_even() -> None:
    counts = Counter(np.concatenate(epoch(make(lengths()))).tolist())
    assert set(counts.values()) == {1}


def test_the_plan_depends_on_seed_and_step_alone() -> None:
    one, two = make(lengths()), make(lengths())
    steps = np.random.default_rng(0).permutation(3 * one.steps_per_epoch)
    shuffled = {int(step): one.batch(int(step)).tolist() for step in steps}
    assert shuffled == {step: two.batch(step).tolist() for step in range(3 * two.steps_per_epoch)}
    assert [b.tolist() for b in epoch(one)] != [b.tolist() for b in epoch(make(lengths(), seed=2))]


def test_epochs_differ_in_order_and_in_company() -> None:
    plan = make(lengths())
    one, two = epoch(plan, 0), epoch(plan, 1)
    assert len(one) == len(two)
    assert len({tuple(sorted(b)) for b in one} & {tuple(sorted(b)) for b in two}) < len(one) / 10


def test_batches_hold_recordings_of_similar_length_and_are_nearly_full() -> None:
    samples = lengths(2000)
    batches = epoch(make(samples))
    padding = sum(len(b) * samples[b].max() for b in batches) / samples.sum() - 1
    assert padding < 0.08
    assert np.mean([len(b) * samples[b].max() for b in batches]) > 0.8 * 960_000


def test_the_batches_of_a_step_are_of_one_length_so_that_no_process_waits() -> None:
    samples = lengths(2000)
    plan = make(samples, group=4)
    for step in range(plan.steps_per_epoch):
        longest = [samples[plan.batch(step, place)].max() for place in range(4)]
        assert max(longest) < 2.2 * min(longest)
    first = [set(plan.batch(0, place).tolist()) for place in range(4)]
    assert all(a.isdisjoint(b) for a in first for b in first if a is not b)


def test_repeats_are_whole_and_a_new_random_part() -> None:
    samples = lengths(400)
    repeats = np.where(np.arange(400) < 200, 2.0, 0.5)
    plan = BatchPlan(samples, repeats, batch_samples=960_000, buckets=4, seed=0)
    seen = [Counter(np.concatenate(epoch(plan, number)).tolist()) for number in range(2)]
    for counts in seen:
        assert all(counts[i] == 2 for i in range(200))
        assert sum(counts[i] for i in range(200, 400)) == pytest.approx(100, abs=4)
        assert max(counts[i] for i in range(200, 400)) == 1
    assert {i for i in range(200, 400) if seen[0][i]} != {i for i in range(200, 400) if seen[1][i]}


def test_a_recording_longer_than_a_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="raise batch_seconds or lower max_seconds"):
        make(np.array([1000, 2_000_000]))


def test_an_epoch_of_no_recordings_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there are 20, and their repeats add up to 0\.2; raise repeat"):
        make(lengths(20), repeats=0.01)
    assert make(lengths(20), repeats=0.05).steps_per_epoch == 1


def test_the_random_part_goes_by_its_fractions() -> None:
    samples = lengths(400)
    repeats = np.where(np.arange(400) < 200, 0.8, 0.2)
    plan = BatchPlan(samples, repeats, batch_samples=960_000, buckets=4, seed=0)
    often = np.concatenate(epoch(plan)) < 200
    assert often.mean() == pytest.approx(0.8, abs=0.06)
