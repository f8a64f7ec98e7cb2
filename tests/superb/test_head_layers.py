from __future__ import annotations

import pytest
import torch

from streaming_wavlm.superb.heads import pooling
from streaming_wavlm.superb.heads.pooling import EARLIEST, RunningMean, RunningStatistics
from streaming_wavlm.superb.heads.xvector import CausalXVector


def frames(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_running_mean_at_the_last_frame_is_the_mean() -> None:
    x = frames(2, 300, 5) + 10
    assert torch.allclose(pooling.running_mean(x)[:, -1], x.mean(dim=1), atol=1e-5)
    assert torch.allclose(pooling.running_mean(x)[:, 0], x[:, 0])


def test_the_running_statistics_at_the_last_frame_are_those_of_the_utterance() -> None:
    x = frames(2, 300, 5) + 100
    expected = torch.cat([x.mean(dim=1), x.std(dim=1)], dim=-1)
    assert torch.allclose(pooling.running_statistics(x)[:, -1], expected, rtol=1e-5)


@pytest.mark.parametrize("moment", [1, 2, 7, 30])
def test_pooling_up_to_a_moment_is_the_running_value_there(moment) -> None:
    x = frames(3, 30, 4)
    moments = torch.full((3,), moment)
    assert torch.allclose(pooling.mean_until(x, moments), pooling.running_mean(x)[:, moment - 1], atol=1e-6)
    until, running = pooling.statistics_until(x, moments), pooling.running_statistics(x)[:, moment - 1]
    assert torch.allclose(until, running, atol=1e-5)


def test_statistics_of_one_frame_and_of_a_constant_have_finite_gradients() -> None:
    x = torch.ones(2, 10, 3, requires_grad=True)
    pooling.statistics_until(x, torch.tensor([1, 10])).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_half_precision_does_not_overflow() -> None:
    x = 60 + frames(1, 2000, 2).half()
    for pooled in (pooling.mean_until, pooling.statistics_until):
        assert torch.isfinite(pooled(x, torch.tensor([2000]))).all()


def test_moments_are_the_end_half_of_the_time_and_else_even_from_the_25th_frame() -> None:
    torch.manual_seed(0)
    drawn = pooling.draw_moments(torch.full((40_000,), 100))
    assert int(drawn.min()) == EARLIEST
    assert int(drawn.max()) == 100
    at_end = float((drawn == 100).float().mean())
    assert abs(at_end - (0.5 + 0.5 / 76)) < 0.01
    before = drawn[drawn < 100].float()
    assert abs(float(before.mean()) - (EARLIEST + 99) / 2) < 0.5


def test_an_utterance_shorter_than_that_is_judged_at_its_end() -> None:
    lengths = torch.tensor([1, 5, EARLIEST], dtype=torch.int32)
    assert all(pooling.draw_moments(lengths).tolist() == lengths.tolist() for _ in range(20))


def test_training_hears_parts_and_evaluation_all() -> None:
    x, lengths = frames(1, 100, 4), torch.tensor([100])
    mean = RunningMean()
    torch.manual_seed(0)
    heard = {tuple(mean(x, lengths)[0][0].tolist()) for _ in range(40)}
    assert len(heard) > 10
    assert torch.allclose(mean.eval()(x, lengths)[0], x.mean(dim=1), atol=1e-6)
    statistics, mask = RunningStatistics(), torch.zeros(1, 100)
    heard = {tuple(statistics(x, mask)[0].tolist()) for _ in range(40)}
    assert len(heard) > 10
    assert torch.equal(*(statistics.eval()(x, mask) for _ in range(2)))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_x_vector_is_the_published_one_moved_by_its_14_frames(batch_norm, hub) -> None:
    from s3prl.downstream.sv_voxceleb1.model import XVector

    published = XVector(6, 8, 0.0, batch_norm).eval()
    causal = CausalXVector(6, 8, 0.0, batch_norm).eval()
    for ours, theirs in zip(causal.layers, published.module, strict=True):
        out, context = theirs.output_dim, theirs.context_size
        # It unfolds frames into one vector: context first, then width.
        kernel = theirs.kernel.weight.detach().reshape(out, context, theirs.input_dim)
        ours.kernel.weight.data = kernel.transpose(1, 2).contiguous()
        ours.kernel.bias.data = theirs.kernel.bias.detach().clone()
    x = frames(2, 40, 6)
    with torch.no_grad():
        assert causal(x).shape == (2, 40, 8)
        assert torch.allclose(causal(x)[:, 14:], published(x, None), atol=1e-5)
    assert sum(p.numel() for p in causal.parameters()) == sum(p.numel() for p in published.parameters())
