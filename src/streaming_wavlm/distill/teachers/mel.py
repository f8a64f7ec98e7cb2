"""Mel spectra in torch: Slaney's filter bank, and the log-mel input of Whisper."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

N_FFT = 400
MEL_HOP = 160


def mel_filters(bands: int, n_fft: int = N_FFT, sample_rate: int = 16_000) -> Tensor:
    """Return Slaney's triangular filters of equal area from 0 Hz to half the sample rate.

    Args:
        bands: how many.
        n_fft: samples of the Fourier transform.
        sample_rate: in Hz.

    Returns:
        float32 ``[n_fft // 2 + 1, bands]``.
    """
    top = _mels(torch.tensor(sample_rate / 2, dtype=torch.float64))
    corners = _hertz(torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    return (torch.minimum(rising, falling).clamp(min=0) * 2 / (upper - lower)).float()


def power_spectrum(samples: Tensor, n_fft: int = N_FFT, hop: int = MEL_HOP) -> Tensor:
    """Return the power of Hann windows, ``[batch, windows, n_fft // 2 + 1]``.

    Args:
        samples: ``[batch, samples]``; window ``m`` is ``samples[:, m * hop : m * hop + n_fft]``.
        n_fft: samples of a window.
        hop: samples from one window to the next.
    """
    window = torch.hann_window(n_fft, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(samples, n_fft, hop, window=window, center=False, return_complex=True)
    return spectrum.abs().square().transpose(1, 2)


def whisper_log_mel(wavs: Tensor, lengths: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Compute what Whisper's feature extractor does, without its 30 s of padding.

    Args:
        wavs: ``[batch, samples]``, zero past a row's end.
        lengths: samples of each row, int64 ``[batch]``.
        filters: ``[201, bands]``.

    Returns:
        ``[batch, bands, windows]``, zero past a row's end, and the windows of each row: always two for every
        320 samples begun.
    """
    windows = 2 * -(-lengths // (2 * MEL_HOP))
    total = max(int(windows.max()), 2) if len(windows) else 2
    # A centred window every hop: the start is mirrored, as the feature extractor does, the end is silence.
    half = N_FFT // 2
    wavs = F.pad(wavs, (0, max(0, total * MEL_HOP + half - wavs.shape[1])))
    extended = F.pad(wavs[:, None], (half, 0), mode="reflect")[:, 0, : (total - 1) * MEL_HOP + N_FFT]
    spectrum = power_spectrum(extended) @ filters.to(wavs.dtype)
    mel = spectrum.clamp(min=1e-10).log10().transpose(1, 2)
    present = (torch.arange(total, device=mel.device) < windows[:, None])[:, None, :]
    loudest = torch.where(present, mel, -math.inf).amax((1, 2), keepdim=True)
    mel = (torch.maximum(mel, loudest - 8.0) + 4.0) / 4.0
    return torch.where(present, mel, 0), windows


def _mels(hertz: Tensor) -> Tensor:
    """Slaney's scale: linear up to 1000 Hz, logarithmic above."""
    return torch.where(
        hertz < 1000, hertz * 3 / 200, 15 + 27 * torch.log(hertz.clamp(min=1) / 1000) / math.log(6.4)
    )


def _hertz(mels: Tensor) -> Tensor:
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * math.log(6.4) / 27))
