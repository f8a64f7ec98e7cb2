"""Handling the rows of a batch one by one, where padding would change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def normalised_waveforms(wavs: Tensor, lengths: Tensor) -> Tensor:
    """Bring each recording to mean 0 and variance 1 over its own samples, as transformers does.

    Args:
        wavs: ``[batch, samples]``, zero past a row's end.
        lengths: samples of each row.

    Returns:
        ``[batch, samples]``, zero past a row's end.
    """
    present = torch.arange(wavs.shape[1], device=wavs.device) < lengths[:, None]
    count = lengths.clamp(min=1)[:, None]
    mean = wavs.sum(1, keepdim=True) / count
    centred = torch.where(present, wavs - mean, 0)
    return centred * (centred.square().sum(1, keepdim=True) / count + 1e-7).rsqrt()


def by_length(
    wavs: Tensor, lengths: Tensor, run: Callable[[Tensor], Sequence[Tensor]], shortest: int
) -> list[Tensor]:
    """Run rows of equal length together, without any padding.

    Args:
        wavs: ``[batch, samples]``.
        lengths: samples of each row.
        run: maps ``[rows, samples]`` to tensors ``[rows, frames, dim]``.
        shortest: samples that ``run`` needs; shorter rows are given it in silence.

    Returns:
        The tensors of all rows ``[batch, frames, dim]``, padded with zeros.
    """
    rows: list[list[Tensor]] = [[] for _ in range(len(wavs))]
    for length in sorted(set(lengths.tolist())):
        chosen = (lengths == length).nonzero().flatten()
        samples = torch.zeros(len(chosen), max(length, shortest), dtype=wavs.dtype, device=wavs.device)
        samples[:, :length] = wavs[chosen, :length]
        for tensor in run(samples):
            for row, value in zip(chosen.tolist(), tensor, strict=True):
                rows[row].append(value)
    return [
        torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)
        for tensors in zip(*rows, strict=True)
    ]
