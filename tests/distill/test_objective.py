"""The objective: which layer learns what from whom."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from objective_cases import LENGTHS, VOICE, A, B, objective, output, targets
from streaming_wavlm.distill.geometry import student_geometry
from streaming_wavlm.distill.objective import Objective
from streaming_wavlm.distill.objective_config import LayerwiseConfig, ObjectiveConfig, PairConfig
from streaming_wavlm.distill.teachers import ReferenceTeacher
from streaming_wavlm.errors import InputError
from streaming_wavlm.output import WavLMOutput
from tiny import noise, tiny_model


def test_a_pair_compares_the_layers_that_it_names() -> None:
    ours, theirs = output(), targets()
    for student, teacher in ((1, 2), (2, 0), (-1, -1), (-2, 1)):
        report = objective(PairConfig("a", student, teacher))(ours, theirs)
        first = ours.hidden_states[student - 1 if student > 0 else student]
        second = theirs["a"].hidden_states[teacher]
        # The teacher has a frame less in each row.
        wanted = F.mse_loss(
            torch.cat([first[0, :8], first[1, :5]]), torch.cat([second[0, :8], second[1, :5]])
        )
        assert report.total.item() == pytest.approx(wanted.item())


def test_the_shift_and_the_frame_rate_are_followed() -> None:
    ours, theirs = output(), targets()
    report = objective(PairConfig("a", 1, 1, shift=-1))(ours, theirs)
    first, second = ours.hidden_states[0], theirs["a"].hidden_states[1]
    wanted = F.mse_loss(torch.cat([first[0, 1:9], first[1, 1:6]]), torch.cat([second[0, :8], second[1, :5]]))
    assert report.total.item() == pytest.approx(wanted.item())
    item = objective(B).aligned(ours, theirs)[0]
    assert torch.equal(item.target[0], theirs["b"].hidden_states[0][0, 1::2])
    assert item.mask.sum(1).tolist() == [9, 6]


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    report = objective(A, B, VOICE)(output(), targets())
    parts = report.parts
    assert list(parts) == ["a/mse/2-3", "b/l1_cosine/1-2", "voice/cosine/-1--1"]
    wanted = parts["a/mse/2-3"] + 0.5 * parts["b/l1_cosine/1-2"] + 2 * parts["voice/cosine/-1--1"]
    assert report.total.item() == pytest.approx(wanted.item())
    assert report.total.requires_grad
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("teacher", ["a", "b", "voice"])
def test_another_teachers_word_changes_only_its_own_part(teacher) -> None:
    model = objective(A, B, VOICE)
    before = model(output(), targets()).parts
    after = model(output(), {**targets(), teacher: targets(seed=50)[teacher]}).parts
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert [name.split("/")[0] for name in changed] == [teacher]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_another_weight_scales_only_its_own_part(index) -> None:
    pairs = [A, B, VOICE]
    before = objective(*pairs)(output(), targets())
    pairs[index] = dataclasses.replace(pairs[index], weight=pairs[index].weight + 1)
    after = objective(*pairs)(output(), targets())
    assert all(torch.equal(after.parts[name], part) for name, part in before.parts.items())
    changed = list(before.parts.values())[index]
    assert float(after.total - before.total) == pytest.approx(float(changed))


def test_only_the_layers_that_are_compared_and_their_heads_learn() -> None:
    model = objective(B)
    states = tuple(h.requires_grad_() for h in output().hidden_states)
    model(WavLMOutput(states, LENGTHS), targets()).total.backward()
    assert states[0].grad.abs().sum() > 0
    assert states[1].grad is None
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_heads_are_there_where_widths_differ_and_only_there() -> None:
    count = {
        case: sum(p.numel() for p in objective(pair).parameters())
        for case, pair in {
            "same width": A,
            "asked": dataclasses.replace(A, head="linear"),
            "other width": B,
            "gram": PairConfig("b", 1, 2, loss="gram"),
            "voice": VOICE,
            "voice, mean": dataclasses.replace(VOICE, pool="mean"),
        }.items()
    }
    assert count == {
        "same width": 0,
        "asked": 17 * 16,
        "other width": 17 * 5,
        "gram": 0,
        "voice": 33 * 4,
        "voice, mean": 17 * 4,
    }


def test_channel_statistics_travel_with_the_objective() -> None:
    pair = PairConfig("a", 2, 3, target_norm="channel")
    model, other = objective(pair), objective(pair)
    assert model.needs_measuring
    assert not objective(A).needs_measuring
    model.measure(targets())
    assert not model.needs_measuring
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(output(), targets()).total, model(output(), targets()).total)
    assert float(model(output(), targets()).total) != float(objective(A)(output(), targets()).total)


def test_a_teachers_frames_can_be_summarised_into_one_target() -> None:
    """Mean and deviation of each recording's frames, then each brought to variance 1 over the corpus."""
    pair = PairConfig("a", 2, 3, target_pool="mean_std")
    rows = [targets()["a"].hidden_states[3][row, :frames] for row, frames in enumerate((8, 5))]
    wanted = torch.stack([torch.cat([row.mean(0), row.std(0, unbiased=False)]) for row in rows])
    item = objective(pair).aligned(output(), targets())[0]
    assert item.name == "a/mse_mean_std/2-3"
    assert item.prediction.shape == item.target.shape == (2, 1, 32)
    assert item.mask.all()
    assert torch.allclose(item.target[:, 0], wanted, atol=1e-4)
    model = objective(dataclasses.replace(pair, target_norm="channel"))
    model.measure(targets())
    found = model.aligned(output(), targets())[0].target[:, 0]
    # Of two recordings, one is a deviation above the mean and the other one below.
    assert torch.allclose(found, (wanted[0] - wanted[1]).sign() * torch.tensor([[1.0], [-1.0]]), atol=0.02)


def test_without_a_head_the_students_own_summary_is_the_teachers() -> None:
    pair = PairConfig("a", 1, 1, target_pool="mean_std", head="none")
    theirs = targets()["a"]
    same = WavLMOutput((theirs.hidden_states[1], theirs.hidden_states[2]), theirs.lengths)
    model = objective(pair)
    assert not list(model.parameters())
    assert float(model(same, {"a": theirs}).total) == 0


def test_a_causal_teacher_of_the_same_geometry_is_paired_frame_by_frame() -> None:
    for front_pad in ("kernel-1", "kernel-stride"):
        model = tiny_model(front_pad=front_pad)
        teacher = ReferenceTeacher(tiny_model(front_pad=front_pad), "self")
        wavs, lengths = noise(2, 5000), torch.tensor([5000, 3001])
        score = Objective(
            model.config, ObjectiveConfig(layerwise=(LayerwiseConfig("self", 2),)), {"self": teacher.spec}
        )
        assert teacher.spec.geometry == student_geometry(model.config)
        with torch.no_grad():
            assert float(score(model(wavs, lengths), {"self": teacher(wavs, lengths)}).total) < 1e-24


def test_missing_targets_are_an_error_that_names_the_teacher() -> None:
    with pytest.raises(InputError, match="targets of the teacher 'b' are missing; got those of"):
        objective(A, B)(output(), {"a": targets()["a"]})
    with pytest.raises(InputError, match="layer 1 is not among the targets"):
        objective(PairConfig("b", 1, 1))(output(), targets())
