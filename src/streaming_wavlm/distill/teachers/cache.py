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

logger = logging.getLogger(__name__)

# Other processes write into the same folder: look again how full it is after so many files.
_RECOUNT = 256
_HALF_MAX = 65_504.0


class CachedTeacher(Teacher):
    """A teacher that computes the targets of a recording once, and reads them from then on.

    Targets are found by a digest of the samples and of the teacher, so they are always the right ones; with
    augmentation, no recording sounds the same twice and the cache only fills up. They are kept in float16
    (float32 where they are too large for it), and given so rounded the first time too: what is given does
    not depend on what is stored. When the folder is full nothing more is stored: epochs pass over the
    recordings in turn, so throwing out the oldest would throw out what comes next.

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
        self._since_count = 0
        self._storing = True
        self._bytes = self._folder_bytes()

    def compute(self, wavs: Tensor, lengths: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Read the targets of known recordings, compute and store the others."""
        paths = [self._path(wav[:length]) for wav, length in zip(wavs, lengths.tolist(), strict=True)]
        rows = [self._read(path, wavs.device) for path in paths]
        unknown = [index for index, row in enumerate(rows) if row is None]
        self.hits += len(rows) - len(unknown)
        self.misses += len(unknown)
        if unknown:
            # All of the batch while the cache grows, so that a run that was killed while it stored one
            # computes what it did before, to the last bit; only what is needed once the cache is full.
            asked = range(len(rows)) if self._storing else unknown
            chosen = torch.tensor(asked, device=wavs.device)
            longest = int(lengths[chosen].max())
            targets = self.teacher(wavs[chosen, :longest], lengths[chosen])
            for position, index in enumerate(asked):
                if rows[index] is None:
                    frames = int(targets.lengths[position])
                    rows[index] = row = [
                        _short(hidden[position, :frames]) for hidden in targets.hidden_states
                    ]
                    self._store(paths[index], row)
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

    def _store(self, path: Path, row: Sequence[Tensor]) -> None:
        if not self._storing:
            return
        tensors = {
            str(number): hidden.cpu().contiguous() for number, hidden in zip(self.layers, row, strict=True)
        }
        size = sum(tensor.nbytes for tensor in tensors.values())
        self._since_count += 1
        if self._since_count >= _RECOUNT:
            self._bytes, self._since_count = self._folder_bytes(), 0
        if self._bytes + size + 1024 > self.max_bytes:
            self._stop(f"it holds {self._bytes / 1e9:.2f} of {self.max_bytes / 1e9:.2f} GB")
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                save_file(tensors, temporary)
                self._bytes += temporary.stat().st_size
        except (OSError, SafetensorError) as error:
            self._stop(str(error))

    def _stop(self, why: str) -> None:
        self._storing = False
        logger.warning("no more targets are cached in %s: %s; training goes on", self.folder, why)

    def _folder_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*/*.safetensors"))


def _short(hidden: Tensor) -> Tensor:
    """Return float16, or float32 where a value is too large for it."""
    large = hidden.numel() and float(hidden.abs().max()) > _HALF_MAX
    return hidden.to(torch.float32 if large else torch.float16)
