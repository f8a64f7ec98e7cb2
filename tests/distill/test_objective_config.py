"""What a student may be asked, and what is refused."""

from __future__ import annotations

import pytest

from objective_cases import A, B, objective
from streaming_wavlm.distill.objective_config import (
    LayerwiseConfig,
    ObjectiveConfig,
    PairConfig,
    PositionalConfig,
    rising_weights,
)
from streaming_wavlm.errors import ConfigError


def test_weights_rise_with_depth_as_published() -> None:
    config = ObjectiveConfig(layerwise=(LayerwiseConfig("a", 6),))
    pairs = config.all_pairs()
    assert [pair.weight for pair in pairs] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert [(pair.student_layer, pair.teacher_layer) for pair in pairs] == [(k, k) for k in range(1, 7)]
    assert rising_weights(1) == (1.0,)


def test_an_objective_knows_whom_it_asks_for_what() -> None:
    config = ObjectiveConfig((A, B, PairConfig("a", 1, -1)), (LayerwiseConfig("b", 2),))
    assert config.teachers() == ("a", "b")
    assert config.layers_of("a") == (3, -1)
    assert config.layers_of("b") == (2, 1)
    assert ObjectiveConfig(positional=PositionalConfig("a")).teachers() == ("a",)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (PairConfig("nobody", 1), "asks the teacher 'nobody'; there are"),
        (PairConfig("a", 3, 1), "student layer of .* must be from 1 to 2"),
        (PairConfig("a", 1, 4), "teacher layer of .* must be from 0 to 3"),
        (PairConfig("b", 1, head="none"), "without a head the student's 16 channels"),
        (PairConfig("voice", 1, loss="gram"), "do not fit a target that there is once per recording"),
        (PairConfig("voice", 1, pool="none"), "do not fit a target that there is once per recording"),
        (PairConfig("voice", 1, target_norm="instance"), "do not fit a target that there is once"),
        (PairConfig("voice", 1, target_pool="mean"), "has nothing to summarise"),
        (PairConfig("a", 1, target_pool="mean", pool="none"), "do not fit a target that there is once"),
        (PairConfig("a", 1, target_pool="mean", target_norm="instance"), "that there is once"),
        (PairConfig("a", 1, target_pool="mean", loss="gram"), "do not fit a target that there is once"),
        (PairConfig("a", 1, target_pool="mean_std", pool="mean", head="none"), "be the target's 32"),
        (PairConfig("a", 1, pool="mean"), "do not fit a target that there is at every frame"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_refused(pair, message) -> None:
    with pytest.raises(ConfigError, match=message):
        objective(pair)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairConfig("a", 0), "student_layer counts from 1"),
        (lambda: PairConfig("a", 1, loss="l2"), "loss must be one of 'mse'"),
        (lambda: PairConfig("a", 1, weight=0), "weight of a loss must be above 0"),
        (lambda: PairConfig("a", 1, weight=float("nan")), "weight of a loss must be above 0"),
        (lambda: PairConfig("a", 1, target_norm="batch"), "target_norm must be one of"),
        (lambda: PairConfig("a", 1, target_pool="median"), "target_pool must be one of 'none'"),
        (lambda: PairConfig("a", 1, loss="gram", pool="mean"), "cannot be pooled"),
        (lambda: PairConfig("a", 1, loss="gram", window=1), "window must be at least 2"),
        (lambda: LayerwiseConfig("a", 0), "number of layers from 1"),
        (lambda: LayerwiseConfig("a", 2, loss="l2"), "loss must be one of 'mse'"),
        (lambda: PositionalConfig("a", loss="l2"), "loss must be one of 'mse'"),
        (ObjectiveConfig, "got 0 pairs and positional None"),
        (
            lambda: ObjectiveConfig((A,), positional=PositionalConfig("a")),
            "or the positional convolution alone",
        ),
        (lambda: ObjectiveConfig((A, A)), "given more than once: a/mse/2-3"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(make, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
