"""A model as S3PRL wants an upstream: a list of recordings in, a dictionary of features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..errors import InputError
from ..model import StreamingWavLM

# SUPERB's tasks; an upstream may answer each with features of its own, ours are the same for all.
TASK_KEYS = ("PR", "ASR", "KS", "QbE", "SID", "ASV", "SD", "ER", "IC", "SF", "SE", "SS", "ST")


class UpstreamExpert(nn.Module):
    """The features of whole recordings as the model would stream them, in one masked pass.

    Args:
        model: the model; its config's chunk size is the one that counts.
    """

    def __init__(self, model: StreamingWavLM) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)

    def get_downsample_rates(self, key: str) -> int:
        """Return the samples per frame, the same for every key."""
        return self.model.config.hop

    def forward(self, wavs: Sequence[Tensor], *_: Any, **__: Any) -> dict[str, Any]:
        """Compute the features of a batch; those of a recording do not depend on the others.

        Args:
            wavs: recordings, each 16 kHz mono audio in [-1, 1], floating point ``[samples]``.

        Returns:
            ``hidden_states``, one tensor ``[batch, frames, dim]`` per layer, zero past a recording's
            ``ceil(samples / 320)`` frames; the same under each of ``TASK_KEYS``; and ``last_hidden_state``.

        Raises:
            InputError: a recording is empty, not 1-D, not floating point or holds NaN or infinity.
        """
        check_wavs(wavs)
        lengths = torch.tensor([len(wav) for wav in wavs], device=wavs[0].device)
        padded = pad_sequence(list(wavs), batch_first=True)
        if not torch.isfinite(padded).all():
            bad = [i for i, wav in enumerate(wavs) if not torch.isfinite(wav).all()]
            raise InputError(f"recording {bad[0]} of the batch holds NaN or infinite samples")
        hidden_states = self.model(padded, lengths).hidden_states
        return {
            "last_hidden_state": hidden_states[-1],
            "hidden_states": hidden_states,
            **dict.fromkeys(TASK_KEYS, hidden_states),
        }


def check_wavs(wavs: Sequence[Tensor]) -> None:
    """Require a non-empty list of non-empty 1-D floating-point recordings.

    Raises:
        InputError: it is something else.
    """
    if isinstance(wavs, Tensor) or not isinstance(wavs, Sequence):
        raise InputError(
            f"an upstream takes a list of 1-D recordings, got {type(wavs).__name__}; use list(wavs)"
        )
    if not wavs:
        raise InputError("an upstream takes at least one recording, got an empty list")
    for i, wav in enumerate(wavs):
        if not isinstance(wav, Tensor) or wav.dim() != 1:
            shape = list(wav.shape) if isinstance(wav, Tensor) else type(wav).__name__
            raise InputError(f"recording {i} of the batch must be a 1-D tensor [samples], got {shape}")
        if not wav.is_floating_point():
            raise InputError(
                f"recording {i} of the batch must be floating point in [-1, 1], got {wav.dtype}; "
                "divide 16-bit integers by 32768"
            )
        if len(wav) == 0:
            raise InputError(f"recording {i} of the batch is empty; give at least one sample")
