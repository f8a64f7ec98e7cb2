"""Keys and values on a tape that is only appended to: a step copies nothing, and old states stay good."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

import torch
from torch import Tensor

_reels = itertools.count()
_GOLDEN = 0.6180339887498949


def _staggered(window: int) -> int:
    """Return a number of frames from half a window to one and a half, another one each time."""
    return int(window * (0.5 + next(_reels) * _GOLDEN % 1))


@dataclass(frozen=True)
class TapeShape:
    """How large a tape is.

    Attributes:
        layers: of the transformer.
        heads: of each layer.
        head_dim: of each head.
        window: frames that are ever needed again.
        dtype: of keys and values.
    """

    layers: int
    heads: int
    head_dim: int
    window: int
    dtype: torch.dtype


class Reel:
    """The memory of one tape, shared by all states that have a part of it.

    Whoever holds a state with its end at the last written frame may go on in place; whoever comes second (a
    fork, an older state) copies its window to a reel of its own. What is written is never written again.

    Args:
        shape: of the tape.
        slots: frames that fit.
    """

    def __init__(self, shape: TapeShape, slots: int) -> None:
        self.slots = slots
        # Keys lie transposed, as the product with the queries wants them.
        size = (shape.layers, shape.heads)
        self.keys = torch.empty(*size, shape.head_dim, slots, dtype=shape.dtype, device="cpu")
        self.values = torch.empty(*size, slots, shape.head_dim, dtype=shape.dtype, device="cpu")
        self._written = 0
        self._wind()

    def __getstate__(self) -> tuple[int, Tensor, Tensor, int]:
        """Return what a copy is made of: a lock cannot be copied."""
        return self.slots, self.keys, self.values, self._written

    def __setstate__(self, kept: tuple[int, Tensor, Tensor, int]) -> None:
        self.slots, self.keys, self.values, self._written = kept
        self._wind()

    def _wind(self) -> None:
        self.layers = tuple(zip(self.keys.unbind(), self.values.unbind(), strict=True))
        self._lock = threading.Lock()

    def claim(self, end: int, frames: int) -> bool:
        """Take the ``frames`` slots from ``end`` on, if nobody has and they exist."""
        with self._lock:
            if end != self._written or end + frames > self.slots:
                return False
            self._written = end + frames
            return True


@dataclass(frozen=True)
class Tape:
    """The keys and values of one stream.

    Attributes:
        shape: of the tape.
        reel: the memory; None before the first frame.
        end: the slot after the last frame.
        frames: how many frames before ``end`` there are, at most the window.
    """

    shape: TapeShape
    reel: Reel | None = None
    end: int = 0
    frames: int = 0

    def extended(self, frames: int) -> Tape:
        """Return the tape with room for more frames at its end, still to be written.

        Its ``frames`` are those it had and the new ones; :meth:`trimmed` forgets what the window no longer
        needs.
        """
        if self.reel is not None and self.reel.claim(self.end, frames):
            return Tape(self.shape, self.reel, self.end + frames, self.frames + frames)
        window = self.shape.window
        # As long again as what must be copied, so that copies are rare; a stream's first reel is short. And
        # streams that began together do not run out together: their copies would fall into one step.
        spare = _staggered(window) if self.frames >= window else max(window // 4, self.frames, frames)
        slots = self.frames + frames + spare
        reel = Reel(self.shape, slots)
        if self.reel is not None:
            past = slice(self.end - self.frames, self.end)
            reel.keys[..., : self.frames] = self.reel.keys[..., past]
            reel.values[:, :, : self.frames] = self.reel.values[:, :, past]
        reel.claim(0, self.frames + frames)
        return Tape(self.shape, reel, self.frames + frames, self.frames + frames)

    def trimmed(self) -> Tape:
        """Return the tape with no more than a window of frames."""
        return Tape(self.shape, self.reel, self.end, min(self.frames, self.shape.window))

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write the last frames of a layer.

        Args:
            layer: from 0.
            keys: ``[frames, heads, head_dim]``.
            values: shaped as ``keys``.
        """
        own_keys, own_values = self._wound().layers[layer]
        frames = len(keys)
        own_keys.narrow(2, self.end - frames, frames).copy_(keys.permute(1, 2, 0))
        own_values.narrow(1, self.end - frames, frames).copy_(values.transpose(0, 1))

    def read(self, layer: int, frames: int) -> tuple[Tensor, Tensor]:
        """Return the last frames of a layer, as views: nothing is copied.

        Returns:
            Keys ``[heads, head_dim, frames]`` and values ``[heads, frames, head_dim]``.
        """
        keys, values = self._wound().layers[layer]
        return keys.narrow(2, self.end - frames, frames), values.narrow(1, self.end - frames, frames)

    def nbytes(self) -> int:
        """Return the memory of the reel, which other states may share, in bytes."""
        if self.reel is None:
            return 0
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.reel.keys, self.reel.values))

    def _wound(self) -> Reel:
        if self.reel is None:
            raise RuntimeError("a tape without frames has nothing to read or write")
        return self.reel
