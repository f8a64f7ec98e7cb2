"""Learning a teacher's frames as classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from objective_cases import objective, output, targets
from streaming_wavlm.distill.objective_config import PairConfig
from streaming_wavlm.distill.units import Codebook
from streaming_wavlm.errors import ConfigError, StateError
from tiny import noise

UNITS = PairConfig("a", 2, 3, loss="units", units=4)


def blobs(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames around four corners, and the corner of each."""
    corners = torch.tensor([[9.0, 0], [0, 9], [-9, 0], [0, -9]])
    which = torch.arange(count) % 4
    return corners[which] + noise(count, 2).float(), which


def test_frames_of_one_kind_share_a_centroid_and_no_others_do() -> None:
    frames, which = blobs()
    book = Codebook(4, 2)
    book.measure(frames)
    book.fit()
    nearest = torch.cdist(frames, book.centroids).argmin(1)
    # Without luck k-means finds three of the corners; with these frames it finds all four.
    assert len({(int(a), int(b)) for a, b in zip(which, nearest, strict=True)}) == 4


def test_every_process_fits_the_same_codebook_as_one_that_saw_all() -> None:
    frames, _ = blobs(80)
    halves = [frames[:40], frames[40:]]
    books = [Codebook(4, 2) for _ in range(3)]
    spread = torch.linspace(0, 39, 400).round().long()
    everything = torch.cat([half[spread] for half in halves])
    for book, half in zip(books[:2], halves, strict=True):
        book.measure(half, lambda _: everything)
        book.fit()
    books[2].measure(halves[0])
    books[2].measure(halves[1])
    books[2].fit()
    assert torch.equal(books[0].centroids, books[1].centroids)
    assert torch.equal(books[0].centroids, books[2].centroids)


def test_a_batch_without_frames_adds_nothing_on_one_process_or_on_several() -> None:
    frames, _ = blobs()
    gathered: list[torch.Tensor] = []

    def gather(rows: torch.Tensor) -> torch.Tensor:
        gathered.append(rows)
        return torch.cat([rows, frames])

    alone, empty, of_two = (Codebook(4, 2) for _ in range(3))
    empty.measure(frames[:0])
    with pytest.raises(StateError, match="needs a sample of the targets"):
        empty.fit()
    for book in (alone, empty):
        book.measure(frames)
        book.fit()
    of_two.measure(frames[:0], gather)
    of_two.fit()
    assert torch.equal(alone.centroids, empty.centroids)
    assert gathered[0].shape == (400, 2)  # as many as any other process gives
    assert torch.isfinite(of_two.centroids).all()


def test_guessing_costs_one_and_knowing_costs_nothing() -> None:
    frames, _ = blobs(12)
    book = Codebook(4, 2)
    book.measure(frames)
    book.fit()
    target, mask = frames[None], torch.ones(1, 12, dtype=torch.bool)
    guess = book(torch.zeros(1, 12, 4), target, mask)
    assert float(guess.total / guess.count) == pytest.approx(1)
    nearest = torch.cdist(frames, book.centroids).argmin(1)
    sure = book(50 * F.one_hot(nearest, 4)[None].float(), target, mask)
    assert float(sure.total / sure.count) == pytest.approx(0, abs=1e-6)
    wrong = book(50 * F.one_hot((nearest + 1) % 4, 4)[None].float(), target, mask)
    assert float(wrong.total / wrong.count) == pytest.approx(50 / math.log(4))


def test_frames_outside_the_mask_do_not_count() -> None:
    model = objective(UNITS)
    model.measure(targets())
    model.sample(targets())
    model.fit_codebooks()
    ours, theirs = output(), targets()
    item = model.aligned(ours, theirs)[0]
    before = float(model(ours, theirs).total)
    item.target[~item.mask] = 1e6
    loss = model.codebooks["a/units/2-3"](item.prediction, item.target, item.mask)
    assert float(loss.total / loss.count) == pytest.approx(before)
    assert int(loss.count) == int(item.mask.sum()) < item.mask.numel()


@pytest.mark.parametrize("norm", ["none", "layer_channel"])
def test_the_codebook_travels_with_the_objective(norm) -> None:
    pair = PairConfig("a", 2, 3, loss="units", units=4, target_norm=norm)
    model, other = objective(pair), objective(pair)
    assert model.needs_measuring
    assert model.needs_codebooks
    with pytest.raises(StateError, match=r"measure some batches"):
        model(output(), targets())
    model.measure(targets())
    model.sample(targets())
    model.fit_codebooks()
    assert not model.needs_measuring
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(output(), targets()).total, model(output(), targets()).total)


def test_a_codebook_without_frames_and_pairs_that_do_not_fit_are_errors() -> None:
    with pytest.raises(StateError, match="needs a sample of the targets"):
        Codebook(4, 2).fit()
    with pytest.raises(ConfigError, match="needs a linear head and at least 2 units"):
        PairConfig("a", 1, loss="units", head="none")
    with pytest.raises(ConfigError, match="at least 2 units"):
        PairConfig("a", 1, loss="units", units=1)
    with pytest.raises(ConfigError, match="cannot be pooled"):
        PairConfig("a", 1, loss="units", pool="mean")
    with pytest.raises(ConfigError, match="there is once per recording"):
        objective(PairConfig("voice", 1, loss="units"))


def test_layer_channel_brings_long_frames_to_the_length_of_the_others() -> None:
    model = objective(PairConfig("a", 2, 3, target_norm="layer_channel"))
    given = targets()
    model.measure(given)
    plain = model.aligned(output(), given)[0].target
    for hidden in given["a"].hidden_states:
        hidden[:, 2] *= 35
    long = model.aligned(output(), given)[0].target
    torch.testing.assert_close(long, plain, rtol=1e-4, atol=1e-4)
