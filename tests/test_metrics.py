"""Agreement with a teacher, accumulated."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from streaming_wavlm.metrics import LayerAgreement
from tiny import noise

MASK = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
OURS, THEIRS = noise(3, 6, 5, seed=1), noise(3, 6, 5, seed=2)


def test_agreement_is_over_the_valid_frames() -> None:
    metric = LayerAgreement()
    metric.update("a", OURS, THEIRS, MASK)
    result = metric.result()["a"]
    ours, theirs = OURS[MASK], THEIRS[MASK]
    assert result.frames == 12
    assert result.cosine == pytest.approx(float(F.cosine_similarity(ours, theirs).mean()))
    assert result.relative_error == pytest.approx(float((ours - theirs).norm() / theirs.norm()))


def test_perfect_agreement() -> None:
    metric = LayerAgreement()
    metric.update("a", THEIRS, THEIRS, MASK)
    assert metric.result()["a"].cosine == pytest.approx(1)
    assert metric.result()["a"].relative_error == 0


def test_many_batches_count_like_one_and_so_do_many_processes() -> None:
    whole, pieces, other = LayerAgreement(), LayerAgreement(), LayerAgreement()
    whole.update("a", OURS, THEIRS, MASK)
    pieces.update("a", OURS[:1], THEIRS[:1], MASK[:1])
    other.update("a", OURS[1:], THEIRS[1:], MASK[1:])
    summed = LayerAgreement()
    summed.load_totals({"a": pieces.totals()["a"] + other.totals()["a"]})
    for together in (summed, pieces.merge(other)):
        result = together.result()["a"]
        assert result.frames == 12
        assert result.cosine == pytest.approx(whole.result()["a"].cosine)
        assert result.relative_error == pytest.approx(whole.result()["a"].relative_error)


def test_layers_are_kept_apart_and_empty_ones_left_out() -> None:
    metric = LayerAgreement()
    metric.update("a", THEIRS, THEIRS, MASK)
    metric.update("b", -THEIRS, THEIRS, MASK)
    metric.update("c", OURS, THEIRS, torch.zeros_like(MASK))
    result = metric.result()
    assert list(result) == ["a", "b"]
    assert result["b"].cosine == pytest.approx(-1)
    assert result["b"].relative_error == pytest.approx(2)


def test_half_precision_is_accumulated_in_double() -> None:
    metric = LayerAgreement()
    for _ in range(50):
        metric.update("a", (THEIRS * 300).half(), (THEIRS * 300).half(), MASK)
    assert metric.result()["a"].cosine == pytest.approx(1, abs=1e-9)
