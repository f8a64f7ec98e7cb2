"""The first stage: the positional convolution alone, on the teacher's inputs."""

from __future__ import annotations

import pytest
import torch

from objective_cases import one_thread
from streaming_wavlm.distill.objective_config import PositionalConfig
from streaming_wavlm.distill.positional import PositionalObjective
from streaming_wavlm.distill.teachers import ReferenceTeacher, WaveformTeacher
from streaming_wavlm.errors import InputError
from teacher_models import waveform_model
from tiny import noise, tiny_model

LENGTHS = torch.tensor([6400, 5000])
WAVS = noise(2, 6400)


@pytest.fixture(autouse=True)
def _single_threaded():
    with one_thread():
        yield


def offline(**changes):
    return tiny_model(seed=3, causal=False, front_pad="valid", **changes)


@pytest.mark.parametrize("kind", ["reference", "transformers"])
def test_the_positional_convolution_alone_learns_from_the_teachers_inputs(kind) -> None:
    if kind == "reference":
        model = offline(dtype=torch.float32)
        teacher = ReferenceTeacher(model, "t")
    else:
        teacher = WaveformTeacher(waveform_model("WavLM"), "t", normalize=True)
    wavs = WAVS.float()
    targets = teacher.positional(wavs, LENGTHS)
    student = tiny_model(dtype=torch.float32, conv_pos=16)
    score = PositionalObjective(PositionalConfig("t"))
    score(student, targets).total.backward()
    learning = {name for name, p in student.named_parameters() if p.grad is not None}
    assert learning == {"encoder.positional_embedding.conv.weight", "encoder.positional_embedding.conv.bias"}
    optimiser = torch.optim.Adam(student.encoder.positional_embedding.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        report = score(student, targets)
        optimiser.zero_grad()
        report.total.backward()
        optimiser.step()
        losses.append(report.total.item())
    assert list(report.parts) == ["t/positional/mse"]
    assert losses[-1] < 0.2 * losses[0]


def test_a_positional_convolution_of_one_frame_agrees_from_the_start() -> None:
    """A kernel of one looks neither back nor ahead, so the causal and the centred convolution are one."""
    targets = ReferenceTeacher(offline(conv_pos=1), "t").positional(WAVS, LENGTHS)
    score = PositionalObjective(PositionalConfig("t"))
    with torch.no_grad():
        assert float(score(tiny_model(seed=3, conv_pos=1), targets).total) < 1e-24
        assert float(score(tiny_model(seed=4, conv_pos=1), targets).total) > 1e-6


def test_padding_does_not_change_the_positional_loss() -> None:
    model = offline()
    teacher, student = ReferenceTeacher(model, "t"), tiny_model()
    score = PositionalObjective(PositionalConfig("t"))
    with torch.no_grad():
        counts, values = [], []
        for rows in (slice(0, 2), slice(0, 1), slice(1, 2)):
            lengths = LENGTHS[rows]
            targets = teacher.positional(WAVS[rows, : int(lengths.max())], lengths)
            values.append(float(score(student, targets, lambda n: counts.append(float(n)) or n).total))
    assert values[0] == pytest.approx((values[1] * counts[1] + values[2] * counts[2]) / counts[0])


def test_the_positional_stage_needs_equal_widths() -> None:
    targets = ReferenceTeacher(offline(), "t").positional(WAVS, LENGTHS)
    with pytest.raises(InputError, match="takes 32 channels, the teacher 't' gives 16"):
        PositionalObjective(PositionalConfig("t"))(tiny_model(dim=32), targets)
