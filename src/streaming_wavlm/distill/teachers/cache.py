"""Targets kept on disk, found again by the audio they belong to."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...files import replacing
from .base import PositionalTargets, Teacher
from .cache_room import CacheRoom

logger = logging.getLogger(__name__)

_HALF_MAX = 65_504.0
_HEADER = 1024  # of a file, or more


class CachedTeacher(Teacher):
    """A teacher that computes the targets of a recording once, and reads them from then on.

    Targets are found by a digest of the samples and of the teacher, so they are always the right ones; with
    augmentation, no recording sounds the same twice and the cache only fills up. They are kept in float16
    (float32 where they are too large for it), and given so rounded the first time too: what is given does
    not depend on what is stored. When the folder is full nothing more is stored, by later runs neither unless
    there is room again: epochs pass over the recordings in turn, so throwing out the oldest would throw out
    what comes next.

    Args:
        teacher: whose targets are kept.
        folder: where; made if missing. Several teachers and processes may share it.
        max_bytes: the most that the folder may hold.
    """

    def __init__(self, teacher: Teacher, folder: Path, max_bytes: int) -> None:
        super().__init__(teacher.name, teacher.spec, teacher.layers, first=min(teacher.layers))
        self.teacher = teacher
        self.folder = folder.expanduser()
        self.max_bytes = max_bytes
        self.hits = self.misses = 0
        self._identity = teacher.fingerprint().encode()
        self._room = CacheRoom(self.folder, max_bytes)
        self._failed = False
        if self._room.full:
            self._stop("it is full since an earlier run")

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Read the targets of known recordings, compute and store the others."""
        paths = [self._path(wav[:length]) for wav, length in zip(wavs, lengths.tolist(), strict=True)]
        rows = [self._read(path, wavs.device) for path in paths]
        unknown = [index for index, row in enumerate(rows) if row is None]
        self.hits += len(rows) - len(unknown)
        self.misses += len(unknown)
        if unknown and self._storing:
            # All of the batch while the cache grows, so that a run that was killed while it stored one
            # computes what it did before, to the last bit; only what is needed once the cache is full.
            self._compute(range(len(rows)), rows, wavs, lengths)
            unknown = [index for index in unknown if not self._store(paths[index], rows[index] or ())]
            # What found no room is computed as a run that goes on and finds the cache full will do it.
            unknown = unknown if 0 < len(unknown) < len(rows) else []
            for index in unknown:
                rows[index] = None
        if unknown:
            self._compute(unknown, rows, wavs, lengths)
        found = [row for row in rows if row is not None]
        hidden = [
            pad_sequence([tensor.float() for tensor in layer], batch_first=True)
            for layer in zip(*found, strict=True)
        ]
        return hidden, torch.tensor([len(row[0]) for row in found], device=wavs.device)

    def positional(self, wavs: Tensor, lengths: Tensor | None = None) -> PositionalTargets:
        """Ask the teacher: what goes into the positional convolution is not kept."""
        return self.teacher.positional(wavs, lengths)

    def description(self) -> dict[str, Any]:
        """Return what a student's provenance says of this teacher, JSON-ready."""
        return self.teacher.description()

    def fingerprint(self) -> str:
        """Return the digest of the teacher."""
        return self._identity.decode()

    @property
    def _storing(self) -> bool:
        return not self._failed and not self._room.full

    def _compute(
        self, asked: Sequence[int], rows: list[list[Tensor] | None], wavs: Tensor, lengths: Tensor
    ) -> None:
        """Ask the teacher for some rows of a batch, and take those that are not there yet."""
        chosen = torch.tensor(asked, device=wavs.device)
        longest = int(lengths[chosen].max())
        targets = self.teacher(wavs[chosen, :longest], lengths[chosen])
        for position, index in enumerate(asked):
            if rows[index] is None:
                frames = int(targets.lengths[position])
                rows[index] = [_short(hidden[position, :frames]) for hidden in targets.hidden_states]

    def _path(self, samples: Tensor) -> Path:
        digest = hashlib.sha256(self._identity)
        digest.update(samples.float().cpu().contiguous().numpy().tobytes())
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def _read(self, path: Path, device: torch.device) -> list[Tensor] | None:
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                return [file.get_tensor(str(number)) for number in self.layers]
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, RuntimeError) as error:
            logger.warning("the cached targets %s are damaged (%s): computing them again", path, error)
            return None

    def _store(self, path: Path, row: Sequence[Tensor]) -> bool:
        """Keep the targets of a recording if there is room; return whether they are kept."""
        if not self._storing:
            return False
        tensors = {
            str(number): hidden.cpu().contiguous() for number, hidden in zip(self.layers, row, strict=True)
        }
        if not self._room.fits(sum(tensor.nbytes for tensor in tensors.values()) + _HEADER):
            self._stop(f"it holds {self._room.bytes / 1e9:.2f} of {self.max_bytes / 1e9:.2f} GB")
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.stat().st_size if path.exists() else 0  # damaged, or twice in a batch
            with replacing(path) as temporary:
                save_file(tensors, temporary)
                self._room.add(temporary.stat().st_size - before)
        except (OSError, SafetensorError) as error:
            self._failed = True
            self._stop(str(error))
            return False
        return True

    def _stop(self, why: str) -> None:
        logger.warning("no more targets are cached in %s: %s; training goes on", self.folder, why)


def _short(hidden: Tensor) -> Tensor:
    """Return float16, or float32 where a value is too large for it."""
    large = hidden.numel() and float(hidden.abs().max()) > _HALF_MAX
    return hidden.to(torch.float32 if large else torch.float16)
