"""The log-mel spectrum as a teacher."""

from __future__ import annotations

import math

import pytest
import torch

from streaming_wavlm.distill.alignment import teacher_indices
from streaming_wavlm.distill.geometry import student_geometry
from streaming_wavlm.distill.teachers import LogMelTeacher, TeacherConfig, build
from tiny import noise, tiny_config, worst

LENGTHS = torch.tensor([6400, 3333, 500])
WAVS = noise(3, 6400)


def test_targets_do_not_depend_on_the_batch() -> None:
    teacher = LogMelTeacher(mels=8, ahead=1)
    targets = teacher(WAVS, LENGTHS)
    assert targets.lengths.tolist() == [19, 9, 0]
    for row in (0, 1):
        alone = teacher(WAVS[row : row + 1, : LENGTHS[row]])
        frames = int(alone.lengths[0])
        assert (
            worst([h[row : row + 1, :frames] for h in targets.hidden_states], [alone.layer(1)[:, :frames]])
            < 1e-12
        )


def test_the_next_frame_is_in_the_target() -> None:
    one, two = (LogMelTeacher(mels=8, ahead=ahead)(WAVS, LENGTHS).layer(1)[0, :10] for ahead in (0, 2))
    assert (one.shape[-1], two.shape[-1]) == (16, 48)
    assert torch.equal(two[:-2, 16:32], one[1:-1])
    assert torch.equal(two[:-2, 32:], one[2:])


def test_a_frame_hears_what_its_geometry_says_and_ends_with_the_students() -> None:
    teacher = LogMelTeacher(mels=8, ahead=0)
    geometry, frame = teacher.spec.geometry, 4
    before = teacher(WAVS[:1]).layer(1)[0, frame]
    first, last = int(geometry.first) + frame * geometry.hop, int(geometry.end(frame)) - 1

    def changes(sample: int) -> bool:
        other = WAVS[:1].clone()
        other[0, sample] += 1.0
        return not torch.equal(teacher(other).layer(1)[0, frame], before)

    # The first sample of a Hann window has no weight.
    assert [changes(n) for n in (first, first + 1, last, last + 1)] == [False, True, True, False]
    student = student_geometry(tiny_config(front_pad="kernel-stride"))
    assert student.end(frame) == geometry.end(frame)
    assert teacher_indices(student, geometry, 3).tolist() == [0, 1, 2]


def test_loudness_is_in_the_target() -> None:
    teacher = LogMelTeacher(mels=8)
    louder = teacher(WAVS * 10, LENGTHS).layer(1) - teacher(WAVS, LENGTHS).layer(1)
    assert louder[0, :19].mean() == pytest.approx(math.log10(100) / 1.6, rel=1e-3)


def test_it_is_built_from_a_config() -> None:
    teacher = build(TeacherConfig("m", kind="logmel", mels=8, ahead=0), dtype=torch.bfloat16, layers=(-1,))
    assert teacher.layers == (1,)
    assert teacher.spec.dim == 16
    assert teacher(WAVS.float(), LENGTHS).hidden_states[0].dtype == torch.float32
