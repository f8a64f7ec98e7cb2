"""Frames of student and teacher are paired by what they hear."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.distill.alignment import aligned_targets, teacher_indices
from streaming_wavlm.distill.geometry import FrameGeometry, conv_geometry, student_geometry
from streaming_wavlm.errors import ConfigError
from tiny import noise, tiny_config, tiny_model

OFFLINE = FrameGeometry(0, 320, 400)
STRIDE = student_geometry(StreamingWavLMConfig(front_pad="kernel-stride"))
ONE = student_geometry(StreamingWavLMConfig(front_pad="kernel-1"))


def test_the_geometries_of_the_design() -> None:
    assert FrameGeometry(-80, 320, 400) == STRIDE
    assert FrameGeometry(-399, 320, 400) == ONE
    assert student_geometry(StreamingWavLMConfig(causal=False, front_pad="valid")) == OFFLINE
    assert conv_geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)) == OFFLINE


@pytest.mark.parametrize("front_pad", ["kernel-1", "kernel-stride", "valid"])
def test_a_frame_of_the_front_end_hears_exactly_what_its_geometry_says(front_pad) -> None:
    """The gradient of a frame of the front-end, sample by sample, starts and ends where the geometry says."""
    model = tiny_model(front_pad=front_pad, causal=front_pad != "valid")
    geometry = student_geometry(model.config)
    wavs = noise(1, 3200).requires_grad_()
    features = []
    model.norm.register_forward_hook(lambda _module, _inputs, output: features.append(output))
    model(wavs)
    features[0][0, 4].pow(2).sum().backward()
    heard = wavs.grad[0].nonzero().flatten()
    assert int(heard[0]) == geometry.first + 4 * geometry.hop
    assert int(heard[-1]) == geometry.end(4) - 1


def test_a_kernel_stride_student_is_paired_with_the_same_frame() -> None:
    assert teacher_indices(STRIDE, OFFLINE, 5).tolist() == [0, 1, 2, 3, 4]


def test_a_kernel_1_student_is_paired_with_the_frame_before() -> None:
    # Its frame t ends at sample 320 t, 79 samples before the end of the teacher's frame t - 1.
    assert teacher_indices(ONE, OFFLINE, 4).tolist() == [-1, 0, 1, 2]


def test_the_shift_moves_the_teacher() -> None:
    assert teacher_indices(ONE, OFFLINE, 4, shift=1).tolist() == [0, 1, 2, 3]
    assert teacher_indices(STRIDE, OFFLINE, 3, shift=-2).tolist() == [-2, -1, 0]


def test_a_teacher_with_twice_the_frames_is_read_at_every_second() -> None:
    assert teacher_indices(STRIDE, FrameGeometry(-240, 160, 400), 4).tolist() == [1, 3, 5, 7]


def test_of_two_equally_near_frames_the_earlier_is_taken() -> None:
    assert teacher_indices(FrameGeometry(0, 320, 320), FrameGeometry(160, 320, 320), 3).tolist() == [-1, 0, 1]


@given(
    first=st.integers(-1000, 1000),
    hop=st.integers(1, 700),
    width=st.integers(1, 1500),
    other=st.integers(-1000, 1000),
    other_hop=st.integers(1, 700),
    other_width=st.integers(1, 1500),
    frames=st.integers(1, 40),
)
def test_no_other_frame_of_the_teacher_ends_nearer(
    first, hop, width, other, other_hop, other_width, frames
) -> None:
    student, teacher = FrameGeometry(first, hop, width), FrameGeometry(other, other_hop, other_width)
    for frame, index in enumerate(teacher_indices(student, teacher, frames).tolist()):
        distance = abs(teacher.end(index) - student.end(frame))
        assert distance < abs(teacher.end(index - 1) - student.end(frame))
        assert distance <= abs(teacher.end(index + 1) - student.end(frame))


@given(
    frames=st.integers(1, 12),
    teacher_frames=st.integers(0, 12),
    shift=st.integers(-4, 4),
    lengths=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=3),
)
def test_a_frame_counts_where_both_have_one(frames, teacher_frames, shift, lengths) -> None:
    ours = torch.tensor([min(a, frames) for a, _ in lengths])
    theirs = torch.tensor([min(b, teacher_frames) for _, b in lengths])
    targets = torch.arange(teacher_frames).float()[None, :, None].expand(len(lengths), -1, 2) + 1
    indices = torch.arange(frames) + shift
    picked, mask = aligned_targets(targets, theirs, indices, ours)
    assert picked.shape == (len(lengths), frames, 2)
    for row in range(len(lengths)):
        for frame in range(frames):
            exists = frame < ours[row] and 0 <= frame + shift < theirs[row]
            assert bool(mask[row, frame]) == exists
            assert picked[row, frame, 0] == (frame + shift + 1 if exists else 0)


def test_a_student_with_one_frame_more_than_its_teacher_is_masked_there() -> None:
    """799 samples: the student's ceil gives 3 frames, the teacher's whole windows give 2."""
    config = tiny_config(front_pad="kernel-stride")
    ours, theirs = config.num_frames(799), tiny_config(causal=False, front_pad="valid").num_frames(799)
    assert (ours, theirs) == (3, 2)
    indices = teacher_indices(student_geometry(config), OFFLINE, ours)
    _, mask = aligned_targets(
        torch.zeros(1, theirs, 4), torch.tensor([theirs]), indices, torch.tensor([ours])
    )
    assert mask.tolist() == [[True, True, False]]


def test_garbage_in_the_targets_padding_is_not_handed_on() -> None:
    targets = torch.tensor([[[1.0], [torch.nan]]])
    picked, _ = aligned_targets(targets, torch.tensor([1]), torch.tensor([0, 1]), torch.tensor([2]))
    assert picked.flatten().tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("hop", "width"), [(0, 400), (320, 0)])
def test_a_geometry_without_extent_is_refused(hop, width) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        FrameGeometry(0, hop, width)
