"""What does not count: padding, neighbours in the batch, and how a batch is spread over processes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from objective_cases import LENGTHS, OFFLINE, VOICE, A, B, objective, output, targets
from streaming_wavlm.distill.objective_config import PairConfig
from streaming_wavlm.distill.target_norm import TARGET_NORMS
from streaming_wavlm.distill.teachers import Targets
from streaming_wavlm.output import WavLMOutput

LOSSES = ("mse", "l1", "l1_cosine", "cosine")
TARGETS = [{"loss": loss, "target_norm": norm} for loss in (*LOSSES, "gram") for norm in TARGET_NORMS]
POOLED = [
    {"loss": loss, "target_norm": norm, "target_pool": pooling}
    for loss in LOSSES
    for norm in TARGET_NORMS
    for pooling in ("mean", "mean_std")
    if norm != "instance"
]


@pytest.mark.parametrize("asked", [*TARGETS, *POOLED], ids=lambda asked: "-".join(asked.values()))
def test_padding_and_the_neighbours_in_the_batch_change_nothing(asked) -> None:
    """The loss of a batch is that of its rows alone, by what counts; garbage past their ends is not seen."""
    pairs = (PairConfig("a", 2, 3, **asked, window=4, components=6),)
    model = objective(*pairs)
    model.measure(targets(seed=9))
    model.fit_norms()
    ours, theirs = output(), targets()["a"]

    def score(states, lengths, wanted, frames) -> tuple[float, int]:
        given = {"a": Targets(wanted, frames, OFFLINE, (0, 1, 2, 3))}
        counts = []
        report = model(WavLMOutput(states, lengths), given, lambda count: counts.append(count) or count)
        return float(report.total), int(counts[0][0])

    padded = tuple(F.pad(h, (0, 0, 0, 5), value=7.0) for h in ours.hidden_states)
    garbage = tuple(F.pad(h, (0, 0, 0, 2), value=torch.inf) for h in theirs.hidden_states)
    together, count = score(padded, LENGTHS, garbage, theirs.lengths)
    alone = [
        score(
            tuple(h[row : row + 1, : LENGTHS[row]] for h in ours.hidden_states),
            LENGTHS[row : row + 1],
            tuple(h[row : row + 1, : theirs.lengths[row]] for h in theirs.hidden_states),
            theirs.lengths[row : row + 1],
        )
        for row in (0, 1)
    ]
    assert count == sum(n for _, n in alone)
    assert together == pytest.approx(sum(value * n for value, n in alone) / count, rel=1e-9)


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "running_mean", "running_mean_std"])
def test_pooled_predictions_do_not_see_padding(pooling) -> None:
    model = objective(PairConfig("voice", 2, loss="cosine", pool=pooling))
    ours = output()
    padded = WavLMOutput(tuple(F.pad(h, (0, 0, 0, 5), value=7.0) for h in ours.hidden_states), LENGTHS)
    before, after = model(ours, targets()).total, model(padded, targets()).total
    assert float(before) == pytest.approx(float(after))
    item = model.aligned(ours, targets())[0]
    assert item.prediction.shape == (2, 9 if "running" in pooling else 1, 4)
    silent = targets()
    silent["voice"] = dataclasses.replace(silent["voice"], lengths=torch.tensor([1, 0]))
    assert not model.aligned(ours, silent)[0].mask[1].any()


def test_gradients_of_two_processes_average_to_those_of_one() -> None:
    """Rows of unequal length on two processes: dividing by each one's own frames would be wrong."""
    pairs = (A, B, VOICE, PairConfig("a", 1, 1, loss="gram"), PairConfig("a", 1, 2, target_pool="mean_std"))
    whole = objective(*pairs)
    ours = output()
    states = [h.clone().requires_grad_() for h in ours.hidden_states]
    whole(WavLMOutput(tuple(states), LENGTHS), targets()).total.backward()

    def of_row(row: int) -> tuple[WavLMOutput, dict[str, Targets], list[torch.Tensor]]:
        mine = [h[row : row + 1].clone().requires_grad_() for h in ours.hidden_states]
        theirs = {
            name: Targets(
                tuple(h[row : row + 1] for h in t.hidden_states),
                t.lengths[row : row + 1],
                t.geometry,
                t.layers,
            )
            for name, t in targets().items()
        }
        return WavLMOutput(tuple(mine), LENGTHS[row : row + 1]), theirs, mine

    counts: list[torch.Tensor] = []
    for row in (0, 1):
        batch, theirs, _ = of_row(row)
        objective(*pairs)(batch, theirs, lambda count: counts.append(count) or count)
    shared = (counts[0] + counts[1]) / 2
    heads, wrong = [], 0.0
    for row in (0, 1):
        part = objective(*pairs)
        batch, theirs, mine = of_row(row)
        part(batch, theirs, lambda _: shared).total.backward()
        heads.append([p.grad for p in part.parameters()])
        for ours_grad, whole_state in zip(mine, states, strict=True):
            assert torch.allclose(ours_grad.grad[0] / 2, whole_state.grad[row], atol=1e-12)
        batch, theirs, mine = of_row(row)
        objective(*pairs)(batch, theirs).total.backward()
        wrong = max(wrong, float((mine[0].grad[0] / 2 - states[0].grad[row]).abs().max()))
    for first, second, wanted in zip(*heads, [p.grad for p in whole.parameters()], strict=True):
        assert torch.allclose((first + second) / 2, wanted, atol=1e-12)
    assert wrong > 1e-6


def test_a_batch_in_which_nothing_counts_costs_nothing() -> None:
    theirs = targets()
    theirs["a"] = dataclasses.replace(theirs["a"], lengths=torch.tensor([0, 0]))
    states = tuple(h.requires_grad_() for h in output().hidden_states)
    report = objective(A)(WavLMOutput(states, LENGTHS), theirs)
    report.total.backward()
    assert float(report.total) == 0
    assert states[1].grad.abs().sum() == 0
