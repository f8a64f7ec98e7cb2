"""The losses, held against plain arithmetic, and their masks."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from streaming_wavlm.distill.heads import Head, pool
from streaming_wavlm.distill.losses import LOSS_KINDS, loss_function
from streaming_wavlm.distill.target_norm import ChannelNorm, normalised
from streaming_wavlm.errors import StateError
from tiny import noise

LENGTHS = torch.tensor([7, 4])
MASK = torch.arange(7) < LENGTHS[:, None]
OURS, THEIRS = noise(2, 7, 5, seed=1), noise(2, 7, 5, seed=2)

# "units" has a codebook, and a file of its own.
BETWEEN_FRAMES = [kind for kind in LOSS_KINDS if kind != "units"]


def average(
    kind: str, ours: torch.Tensor, theirs: torch.Tensor, mask: torch.Tensor, window: int = 3
) -> float:
    loss = loss_function(kind, window)(ours, theirs, mask)
    return float(loss.total / loss.count)


def rows(mask: torch.Tensor = MASK) -> tuple[torch.Tensor, torch.Tensor]:
    return OURS[mask], THEIRS[mask]


def test_mse_is_the_mean_over_valid_frames() -> None:
    assert average("mse", OURS, THEIRS, MASK) == pytest.approx(float(F.mse_loss(*rows())))


def test_l1_is_the_mean_over_valid_frames() -> None:
    assert average("l1", OURS, THEIRS, MASK) == pytest.approx(float(F.l1_loss(*rows())))


def test_cosine_is_one_minus_the_mean_cosine() -> None:
    assert average("cosine", OURS, THEIRS, MASK) == pytest.approx(
        1 - float(F.cosine_similarity(*rows()).mean())
    )


def test_l1_cosine_is_distilhuberts_up_to_a_constant() -> None:
    ours, theirs = rows()
    published = F.l1_loss(ours, theirs) - F.logsigmoid(F.cosine_similarity(ours, theirs)).mean()
    at_agreement = math.log(1 + math.exp(-1))
    assert average("l1_cosine", OURS, THEIRS, MASK) == pytest.approx(float(published) - at_agreement)


def test_gram_compares_the_frames_of_each_window() -> None:
    total, count = 0.0, 0
    for row, length in enumerate(LENGTHS.tolist()):
        for i in range(length):
            for j in range(length):
                if i != j and i // 3 == j // 3:
                    ours = F.cosine_similarity(OURS[row, i], OURS[row, j], dim=0)
                    theirs = F.cosine_similarity(THEIRS[row, i], THEIRS[row, j], dim=0)
                    total, count = total + float(ours - theirs) ** 2, count + 1
    assert average("gram", OURS, THEIRS, MASK) == pytest.approx(total / count)


def test_gram_needs_no_common_width() -> None:
    turned = torch.cat([OURS, torch.zeros(2, 7, 2)], dim=-1) @ torch.linalg.qr(noise(7, 7))[0]
    assert average("gram", OURS, turned, MASK) == pytest.approx(0, abs=1e-20)
    assert average("gram", OURS, THEIRS, MASK) > 0.01


@pytest.mark.parametrize("kind", BETWEEN_FRAMES)
def test_agreement_costs_nothing(kind) -> None:
    assert average(kind, OURS, OURS.clone(), MASK) == pytest.approx(0, abs=1e-12)
    assert average(kind, OURS, THEIRS, MASK) > 0.01


@pytest.mark.parametrize("kind", BETWEEN_FRAMES)
def test_padding_changes_nothing(kind) -> None:
    padded = [F.pad(side, (0, 0, 0, 6), value=3.0) for side in (OURS, THEIRS)]
    padded[0][1, 4:] = 9.0
    wider = F.pad(MASK, (0, 6))
    assert average(kind, *padded, wider) == pytest.approx(average(kind, OURS, THEIRS, MASK), rel=1e-12)


@pytest.mark.parametrize("kind", BETWEEN_FRAMES)
def test_no_gradient_reaches_a_masked_frame_and_all_are_finite(kind) -> None:
    ours = OURS.clone()
    ours[1, 4:] = 0  # as a student's padding is
    ours.requires_grad_()
    theirs = torch.where(MASK[:, :, None], THEIRS, 0)
    loss_function(kind, 3)(ours, theirs, MASK).total.backward()
    assert torch.isfinite(ours.grad).all()
    assert ours.grad[1, 4:].abs().max() == 0
    assert (ours.grad[1, :3].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("kind", BETWEEN_FRAMES)
def test_losses_are_computed_in_float32(kind) -> None:
    half = OURS.bfloat16()
    loss = loss_function(kind, 3)(half, THEIRS.bfloat16(), MASK)
    assert loss.total.dtype == torch.float32
    exact = loss_function(kind, 3)(half.double(), THEIRS.bfloat16().double(), MASK).total
    assert float(loss.total) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize("kind", ["mean", "mean_std"])
def test_pooling_summarises_the_valid_frames(kind) -> None:
    pooled = pool(OURS, MASK, kind)
    for row, length in enumerate(LENGTHS.tolist()):
        frames = OURS[row, :length]
        wanted = [frames.mean(0)] + ([frames.std(0, unbiased=False)] if kind == "mean_std" else [])
        assert torch.allclose(pooled[row, 0], torch.cat(wanted), atol=1e-3)


@pytest.mark.parametrize("kind", ["mean", "mean_std"])
def test_running_pooling_is_pooling_of_the_frames_so_far(kind) -> None:
    running = pool(OURS, MASK, f"running_{kind}")
    for frame in range(4):
        so_far = pool(OURS[:, : frame + 1], MASK[:, : frame + 1], kind)[:, 0]
        assert torch.allclose(running[:, frame], so_far, atol=1e-10)


def test_a_head_pools_before_it_maps() -> None:
    head = Head(5, 3, linear=True, pooling="mean_std").double()
    assert head(OURS, MASK).shape == (2, 1, 3)
    assert torch.equal(head(OURS, MASK), head.linear(pool(OURS, MASK, "mean_std")))
    assert torch.equal(Head(5, 5, linear=False)(OURS, MASK), OURS)


def test_layer_normalisation_is_over_the_width() -> None:
    out = normalised(OURS * 50 + 3, LENGTHS, "layer")
    assert torch.allclose(out.mean(-1), torch.zeros(2, 7, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(out.var(-1, unbiased=False), torch.ones(2, 7, dtype=torch.float64), atol=1e-4)


def test_instance_normalisation_is_over_the_valid_frames_of_a_channel() -> None:
    out = normalised(OURS * 50 + 3, LENGTHS, "instance")[1, :4]
    assert torch.allclose(out.mean(0), torch.zeros(5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(out.var(0, unbiased=False), torch.ones(5, dtype=torch.float64), atol=1e-4)


def test_channel_normalisation_uses_what_was_measured_over_all_batches() -> None:
    norm = ChannelNorm(5)
    norm.measure(OURS * 50 + 3, LENGTHS)
    norm.measure(THEIRS[:1] + 1, LENGTHS[:1])
    seen = torch.cat([(OURS * 50 + 3)[MASK], THEIRS[0] + 1])
    wanted = (THEIRS - seen.mean(0)) / seen.std(0, unbiased=False)
    assert torch.allclose(norm(THEIRS), wanted, atol=1e-9)
    again = ChannelNorm(5)
    again.load_state_dict(norm.state_dict())
    assert torch.equal(again(THEIRS), norm(THEIRS))


def test_channel_normalisation_measured_by_two_processes_is_that_of_one() -> None:
    whole, part = ChannelNorm(5), ChannelNorm(5)
    whole.measure(OURS, LENGTHS)
    sums = []
    ChannelNorm(5).measure(OURS[1:], LENGTHS[1:], lambda numbers: sums.append(numbers) or numbers)
    part.measure(OURS[:1], LENGTHS[:1], lambda numbers: (numbers + sums[0]) / 2)
    assert torch.allclose(part(THEIRS), whole(THEIRS), atol=1e-12)


def test_channel_normalisation_before_measuring_is_refused() -> None:
    with pytest.raises(StateError, match="measure some batches"):
        ChannelNorm(5)(OURS)
