"""Which frame of a teacher belongs to a frame of the student: the one that has heard the same."""

from __future__ import annotations

import torch
from torch import Tensor

from .geometry import FrameGeometry


def teacher_indices(
    student: FrameGeometry,
    teacher: FrameGeometry,
    frames: int,
    shift: int = 0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the teacher's frame for each frame of the student.

    It is the one whose audio ends nearest to where the student's ends; of two equally near ones the earlier,
    whose audio the student has heard.

    Args:
        student: what the student's frames hear.
        teacher: what the teacher's frames hear.
        frames: frames of the student.
        shift: teacher frames to go on from there: with 1 the student has to say what the teacher says one
            frame later, with -1 it is given a frame's time more.
        device: where the result shall be.

    Returns:
        int64 ``[frames]``; below 0 or past the teacher's last frame where the teacher has no such frame.
    """
    steps = torch.arange(frames, device=device, dtype=torch.float64)
    distance = student.end(0) - teacher.end(0) + steps * student.hop
    return torch.ceil(distance / teacher.hop - 0.5).long() + shift


def aligned_targets(
    targets: Tensor, target_lengths: Tensor, indices: Tensor, student_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Put a teacher's frames beside the student's.

    Args:
        targets: the teacher's hidden states ``[batch, teacher frames, dim]``.
        target_lengths: the teacher's frames of each row, int64 ``[batch]``.
        indices: the teacher's frame for each frame of the student, int64 ``[frames]``.
        student_lengths: the student's frames of each row, int64 ``[batch]``.

    Returns:
        Targets ``[batch, frames, dim]``, zero where there is none, and the mask of those that count, bool
        ``[batch, frames]``: frames that both the student and the teacher have.
    """
    frames = torch.arange(len(indices), device=indices.device)
    mask = (frames < student_lengths[:, None]) & (indices >= 0) & (indices < target_lengths[:, None])
    if targets.shape[1] == 0:
        return targets.new_zeros(len(targets), len(indices), targets.shape[2]), mask
    picked = targets.index_select(1, indices.clamp(0, targets.shape[1] - 1))
    return torch.where(mask[:, :, None], picked, 0), mask
