"""Normalising targets by statistics of the corpus."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from objective_cases import objective, output, targets
from streaming_wavlm.distill.objective_config import PairConfig
from streaming_wavlm.distill.target_norm import ChannelNorm, Whitening
from streaming_wavlm.errors import ConfigError, StateError
from tiny import noise

POOLED = PairConfig("a", 2, 3, target_pool="mean_std", target_norm="whiten", components=2)


def mixed(count: int = 600, dim: int = 6) -> torch.Tensor:
    """Targets ``[count, 1, dim]`` whose channels depend on each other and lie far from 0."""
    scales = torch.logspace(0.3, -0.3, dim, dtype=torch.float64)
    return ((noise(count, dim) * scales) @ noise(dim, dim, seed=1) + 3)[:, None]


def ones(rows: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(rows), dtype=torch.int64)


def whitened(values: torch.Tensor, components: int, batch: int = 100) -> Whitening:
    norm = Whitening(values.shape[2], components).double()
    for rows in values.split(batch):
        norm.measure(rows, ones(rows), ones(rows))
    norm.fit()
    return norm


def test_whitened_targets_have_mean_zero_and_the_identity_as_covariance() -> None:
    values = mixed()
    made = whitened(values, 6)(values)[:, 0]
    torch.testing.assert_close(made.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(made.mT @ made / len(made), torch.eye(6).double(), rtol=0, atol=1e-9)
    # Bringing each channel to variance 1, as ChannelNorm does, leaves them dependent.
    plain = ChannelNorm(6)
    plain.measure(values, ones(values))
    made = plain(values)[:, 0]
    assert ((made.mT @ made / len(made)) - torch.eye(6)).abs().max() > 0.1


def test_the_largest_components_are_kept() -> None:
    values = mixed()
    centred = values[:, 0] - values[:, 0].mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    made = whitened(values, 2)(values)[:, 0]
    expected = centred @ directions[:2].mT
    expected = expected / expected.square().mean(0).sqrt()
    torch.testing.assert_close(made.abs(), expected.abs(), rtol=1e-6, atol=1e-9)


def test_frames_past_the_end_are_not_measured() -> None:
    values = mixed(40).reshape(10, 4, 6)
    lengths = torch.tensor([4, 3, 2, 1, 0, 4, 3, 2, 1, 4])
    norm, other = Whitening(6, 6), Whitening(6, 6)
    norm.measure(values, lengths, torch.ones(10, dtype=torch.int64))
    for row, length in enumerate(lengths):
        values[row, int(length) :] = float("nan")
    other.measure(values, lengths, torch.ones(10, dtype=torch.int64))
    norm.fit()
    other.fit()
    assert torch.equal(norm.projection, other.projection)
    assert bool(torch.isfinite(other.projection).all())


def test_every_process_finds_the_same_components_as_one_that_saw_all() -> None:
    halves = mixed(200).chunk(2)
    everything = whitened(torch.cat(halves), 6, batch=200)
    sums = []
    for half in halves:
        extended = torch.cat([torch.ones(100, 1).double(), half[:, 0]], dim=1)
        sums.append(extended.mT @ extended)
    norm = Whitening(6, 6).double()
    norm.measure(halves[0], *[ones(halves[0])] * 2, lambda own: (sums[0] + sums[1]) / 2 + 0 * own)
    norm.fit()
    values = mixed(50)
    torch.testing.assert_close(norm(values).abs(), everything(values).abs(), rtol=1e-8, atol=1e-8)


def test_a_weight_counts_as_so_many_targets() -> None:
    values, weights = mixed(40), 1 + torch.arange(40) % 3
    norm = Whitening(6, 6).double()
    norm.measure(values, ones(values), weights)
    norm.fit()
    repeated = whitened(values.repeat_interleave(weights, 0), 6)
    torch.testing.assert_close(norm(values).abs(), repeated(values).abs(), rtol=1e-8, atol=1e-8)
    assert (norm(values).abs() - whitened(values, 6)(values).abs()).abs().max() > 1e-3


def test_a_recording_counts_for_its_frames() -> None:
    model, given = objective(POOLED), targets()
    model.measure(given)
    model.fit_norms()
    frames = F.layer_norm(given["a"].layer(3), given["a"].layer(3).shape[-1:])
    means = torch.stack(
        [row[:length].mean(0) for row, length in zip(frames, given["a"].lengths, strict=True)]
    )
    weights = given["a"].lengths / given["a"].lengths.sum()
    assert int(given["a"].lengths.unique().numel()) > 1
    norm = model.norms["a/mse_mean_std/2-3"]
    dim = means.shape[1]
    torch.testing.assert_close(norm.mean[:dim], (means * weights[:, None]).sum(0).to(norm.mean.dtype))
    assert (norm.mean[:dim] - means.mean(0)).abs().max() > 1e-3


def test_components_beyond_what_was_seen_stay_at_zero() -> None:
    values = mixed(3)
    made = whitened(values, 6)(values)[:, 0]
    assert int((made.std(0) > 0.5).sum()) == 2
    assert float(made[:, 2:].abs().max()) < 1e-3


def test_components_travel_with_the_objective() -> None:
    model, other = objective(POOLED), objective(POOLED)
    assert model.needs_measuring
    assert model.needs_components
    with pytest.raises(StateError, match=r"measure some batches and fit them"):
        model(output(), targets())
    model.measure(targets())
    model.fit_norms()
    assert not model.needs_measuring
    assert not model.needs_components
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(output(), targets()).total, model(output(), targets()).total)
    assert model.aligned(output(), targets())[0].target.shape[-1] == 2


def test_nothing_measured_and_too_many_components_are_errors() -> None:
    with pytest.raises(StateError, match="needs a sample of the targets"):
        Whitening(6, 2).fit()
    with pytest.raises(StateError, match="saw no targets"):
        ChannelNorm(6).fit()
    with pytest.raises(ConfigError, match="components must be at least 1, got 0"):
        PairConfig("a", 1, target_norm="whiten", components=0)
    with pytest.raises(ConfigError, match=r"has 4 channels .* got components: 5"):
        objective(PairConfig("voice", 1, target_norm="whiten", components=5))
