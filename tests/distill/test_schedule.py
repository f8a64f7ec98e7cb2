from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from streaming_wavlm.distill.schedule import ChunkSampler, chunk_in_ms, learning_rate
from streaming_wavlm.distill.settings import ChunkChoice, ScheduleSettings
from streaming_wavlm.errors import ConfigError
from tiny import tiny_config

CHOICES = (ChunkChoice(200, 1.0), ChunkChoice(400, 2.0), ChunkChoice("whole", 1.0))


def test_the_learning_rate_rises_and_falls_as_it_should() -> None:
    schedule = ScheduleSettings("cosine", warmup=10, final=0.1)
    rates = [learning_rate(step, 110, 1.0, schedule) for step in range(111)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == max(rates) == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert all(a > b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize(("kind", "middle", "end"), [("constant", 1.0, 1.0), ("linear", 0.6, 0.2)])
def test_other_courses(kind: str, middle: float, end: float) -> None:
    schedule = ScheduleSettings(kind, final=0.2)
    assert learning_rate(50, 100, 1.0, schedule) == pytest.approx(middle)
    assert learning_rate(100, 100, 1.0, schedule) == pytest.approx(end)


def test_a_cooldown_ends_a_constant_rate_and_leaves_what_was_before_alone() -> None:
    schedule = ScheduleSettings("constant", warmup=10, final=0.2, cooldown=20)
    rates = [learning_rate(step, 100, 1.0, schedule) for step in range(101)]
    assert rates[10:81] == [1.0] * 71
    assert rates[90] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)
    shorter = [learning_rate(step, 80, 1.0, schedule) for step in range(81)]
    assert shorter[:61] == rates[:61]
    assert shorter[60:] == rates[80:]
    with pytest.raises(ConfigError, match="cooldown ends a constant rate"):
        ScheduleSettings("cosine", cooldown=20)


def test_chunk_sizes_are_drawn_as_often_as_they_weigh() -> None:
    sampler = ChunkSampler(CHOICES, tiny_config(), seed=5)
    counts = Counter(sampler.draw(step) for step in range(4000))
    assert counts[200] == pytest.approx(1000, abs=100)
    assert counts[400] == pytest.approx(2000, abs=120)
    assert counts["whole"] == pytest.approx(1000, abs=100)


def test_a_draw_depends_on_seed_and_step_alone() -> None:
    one, same, other = (ChunkSampler(CHOICES, tiny_config(), seed) for seed in (5, 5, 6))
    backwards = [one.draw(step) for step in reversed(range(200))][::-1]
    assert backwards == [same.draw(step) for step in range(200)]
    assert backwards != [other.draw(step) for step in range(200)]


@pytest.mark.parametrize("seed", [5, 2**40])
def test_each_accumulated_batch_draws_for_itself_and_the_first_as_if_it_were_alone(seed: int) -> None:
    sampler = ChunkSampler(CHOICES, tiny_config(), seed)
    alone = [sampler.draw(step) for step in range(200)]
    places = [[sampler.draw(step, place) for step in range(200)] for place in range(3)]
    assert places[0] == alone
    assert len({tuple(place) for place in places}) == 3
    expected = [np.random.default_rng([seed, 3, step]).choice(3, p=[0.25, 0.5, 0.25]) for step in range(200)]
    assert alone == [CHOICES[index].ms for index in expected]


def test_without_choices_the_students_own_chunk_is_used() -> None:
    assert ChunkSampler((), tiny_config(chunk_ms=800), 0).draw(3) == 800


def test_a_chunk_that_is_no_multiple_of_the_hop_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of the hop"):
        ChunkSampler((ChunkChoice(210),), tiny_config(), 0)
    with pytest.raises(ConfigError, match="given once"):
        ChunkSampler((ChunkChoice(200), ChunkChoice(200)), tiny_config(), 0)


def test_whole_holds_the_longest_recording() -> None:
    assert chunk_in_ms("whole", 16_001, tiny_config()) == 1020
    assert chunk_in_ms("whole", 0, tiny_config()) == 20
    assert chunk_in_ms(400, 16_001, tiny_config()) == 400
