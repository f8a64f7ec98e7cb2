"""Features of a frozen upstream, computed once per recording and read from disk from then on."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SuperbError
from ..extract_record import weights_digest
from .feature_store import Array, FeatureStore
from .upstream import TASK_KEYS, UpstreamExpert, check_wavs

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "STREAMING_WAVLM_FEATURES"
SIZE_VARIABLE = "STREAMING_WAVLM_FEATURES_GB"
DEFAULT_GB = 20.0
# To be raised when the arithmetic of a model changes: features of before are not found again.
_FORMAT = 1


class CachedUpstream(UpstreamExpert):
    """An upstream that computes each recording by itself, once, and keeps the features on disk.

    Features are found by a digest of the weights, of the config with its chunk, of the kind of device and of
    the samples, so they are always the right ones. What is not on disk is computed alone, not in its batch,
    whether there is room to keep it or not: features are a function of the recording, and a training does
    not depend on what an earlier one left on disk. They differ from an uncached run's by what padding
    changes in the last bits.

    Nothing is kept while the upstream learns: once it has been put into training mode, or where gradients
    are wanted, and where it does not compute in float32.

    Args:
        expert: the upstream; its model is shared.
        folder: where features are kept; made if missing. Several upstreams and processes may share it.
        max_bytes: the most that the folder may hold.
    """

    _was_trained = False

    def __init__(self, expert: UpstreamExpert, folder: str | os.PathLike[str], max_bytes: int) -> None:
        super().__init__(expert.model)
        self.store = FeatureStore(Path(folder).expanduser(), max_bytes)
        self.hits = self.misses = 0
        self._stamp: tuple[tuple[int, int], ...] = ()
        self._weights = ""

    def train(self, mode: bool = True) -> CachedUpstream:
        """Set the mode; after training mode nothing is kept any more, because the weights may change."""
        self._was_trained = self._was_trained or mode
        super().train(mode)
        return self

    def forward(self, wavs: Sequence[Tensor], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the features of a batch, as :class:`UpstreamExpert` does."""
        check_wavs(wavs)
        if not self._frozen():
            return super().forward(wavs, *args, **kwargs)
        rows = [self._features(wav) for wav in wavs]
        layers, _, dim = rows[0].shape
        frames = max(row.shape[1] for row in rows)
        batch = np.zeros((layers, len(rows), frames, dim), np.float32)
        for index, row in enumerate(rows):
            batch[:, index, : row.shape[1]] = row
        hidden_states = tuple(torch.from_numpy(batch).to(wavs[0].device))
        return {
            "last_hidden_state": hidden_states[-1],
            "hidden_states": hidden_states,
            **dict.fromkeys(TASK_KEYS, hidden_states),
        }

    def _frozen(self) -> bool:
        return (
            not self._was_trained
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled(self.model.device.type)
            and self.model.dtype == torch.float32
        )

    def _features(self, wav: Tensor) -> Array:
        """Return the features of one recording, ``[layers, frames, dim]``."""
        config = self.model.config
        shape = (config.num_layers, config.num_frames(len(wav)), config.dim)
        identity, key = self._identity(), self._key(wav)
        found = self.store.read(identity, key, shape)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        hidden_states = super().forward([wav])["hidden_states"]
        features: Array = torch.cat(list(hidden_states)).float().cpu().numpy()
        self.store.write(identity, key, features)
        return features

    def _identity(self) -> str:
        """Return a short digest of all that features depend on but the samples."""
        stamp = tuple(
            (tensor.data_ptr(), tensor._version)
            for tensor in (*self.model.parameters(), *self.model.buffers())
        )
        if stamp != self._stamp:
            # Weights were loaded into the model or changed by a step since the digest was taken.
            self._stamp, self._weights = stamp, weights_digest(self.model)
        text = f"{_FORMAT} {self._weights} {self.model.config.fingerprint()} {self.model.device.type}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _key(self, wav: Tensor) -> str:
        return hashlib.sha256(wav.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()[:32]


def from_environment(expert: UpstreamExpert, environment: Mapping[str, str] = os.environ) -> UpstreamExpert:
    """Return the upstream with the cache that the environment asks for, if it asks for one.

    Args:
        expert: the upstream.
        environment: ``STREAMING_WAVLM_FEATURES`` is the folder, ``STREAMING_WAVLM_FEATURES_GB`` the most that
            it may hold, in gigabytes (default 20).

    Raises:
        SuperbError: the size is not a positive number.
    """
    folder = environment.get(FOLDER_VARIABLE)
    if not folder:
        return expert
    given = environment.get(SIZE_VARIABLE) or str(DEFAULT_GB)
    try:
        size = float(given)
    except ValueError:
        size = float("nan")
    if not 0 < size < float("inf"):
        raise SuperbError(f"{SIZE_VARIABLE} must be a positive number of gigabytes, got {given!r}")
    logger.info("features are kept in %s, %g GB at most", folder, size)
    return CachedUpstream(expert, folder, round(size * 1e9))
