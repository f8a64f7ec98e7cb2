"""What the engines of other runtimes share: the model's step as an exported graph, fed chunk by chunk."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import EngineError
from ..export import ExportedStep, export, open_exported
from ..export.stepping import advance, in_types_of
from ..model import StreamingWavLM
from ..state import StreamState, initial_state
from ..streaming import Feed
from .base import Engine
from .linear import Precision
from .spooled import SpooledModel


class Graph(NamedTuple):
    """The step of one chunk size.

    Attributes:
        step: the graph in its runtime.
        lock: held while it runs: a request of a runtime holds one step at a time.
    """

    step: ExportedStep
    lock: threading.Lock


class GraphEngine(Engine[StreamState]):
    """A causal model as a graph in another runtime, on the CPU, for any number of streams.

    The graph is exported when the engine is made, which takes seconds, unless it is given.

    Args:
        model: the model, in float32 on the CPU, in eval mode; it may be dropped.
        precision: of the arithmetic.
        threads: processor threads; as many as torch uses when None.
        file: a graph of this model that was exported with ``batch=None`` in this precision.

    Raises:
        ConfigError: the model is bidirectional.
        EngineError: the runtime does not have the precision, or the file is another model's.
        ExportError: the model cannot be exported, or the file cannot be read.
        MissingDependencyError: the runtime is not installed.
    """

    #: Of :data:`streaming_wavlm.export.FORMATS`.
    format: ClassVar[str]

    def __init__(
        self,
        model: StreamingWavLM,
        precision: Precision = "fp32",
        *,
        threads: int | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(model, precision)
        self._threads = torch.get_num_threads() if threads is None else threads
        step = self._exported(model) if file is None else self._given(file)
        # The graph cannot be turned back into the model, and another chunk size is another graph.
        self._spooled = SpooledModel(model)
        self._graph = Graph(step, threading.Lock())
        # Not of engines, which would keep each other in memory.
        self._graphs: dict[int, Graph] = {self.config.chunk_ms: self._graph}

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of audio and features: float32."""
        return torch.float32

    def with_chunk(self, chunk_ms: int) -> Self:
        """Return an engine with the same weights and another chunk size; its graph is exported once.

        Args:
            chunk_ms: audio that one step of the new engine processes, in milliseconds.

        Raises:
            ConfigError: the chunk is no multiple of the hop.
        """
        other = super().with_chunk(chunk_ms)
        if chunk_ms not in self._graphs:
            step = other._exported(self._spooled.load(chunk_ms))
            self._graphs[chunk_ms] = Graph(step, threading.Lock())
        other._graph = self._graphs[chunk_ms]
        return other

    def _exported(self, model: StreamingWavLM) -> ExportedStep:
        with tempfile.TemporaryDirectory(prefix="streaming-wavlm-") as folder:
            path = export(model, folder, format=self.format, precision=self.precision, batch=None)
            return open_exported(path, threads=self._threads)

    def _given(self, file: str | os.PathLike[str]) -> ExportedStep:
        step = open_exported(file, threads=self._threads)
        found = step.metadata
        wanted = (self.config, self.precision, None)
        if (found.config, found.precision, found.batch) != wanted:
            raise EngineError(
                f"{Path(file)} holds config {found.config.fingerprint()}, precision {found.precision}, "
                f"batch {found.batch}; this engine needs {self.config.fingerprint()}, {self.precision} and "
                "any batch (batch=None, --batch dynamic)"
            )
        return step

    def _begin(self, batch: int) -> StreamState:
        return in_types_of(self._graph.step, initial_state(self.config, batch, self.device, self.dtype))

    def _adopt(self, state: Any) -> StreamState:
        return in_types_of(self._graph.step, state.unpacked().to(self.device))

    @torch.no_grad()
    def _advance(
        self, feed: Feed, state: StreamState, layers: Sequence[int]
    ) -> tuple[list[Tensor], StreamState]:
        hops = feed.samples.shape[1] // self.config.hop
        # Those without frames are left out: they cost as much as the others.
        moving = feed.frames > 0
        if bool(moving.all()) and len(moving):
            return self._run(feed.samples, feed.frames, state, hops, layers)
        hidden = [feed.samples.new_zeros(len(moving), hops, self.config.dim) for _ in layers]
        if not bool(moving.any()):
            return hidden, state
        some, rows = state.select(moving), moving.nonzero()[:, 0]
        outputs, after = self._run(feed.samples[moving], feed.frames[moving], some, hops, layers)
        for target, source in zip(hidden, outputs, strict=True):
            target[rows] = source
        merged = [
            old.index_copy(0, rows, new) for old, new in zip(state.tensors(), after.tensors(), strict=True)
        ]
        return hidden, state.with_tensors(merged)

    def _run(
        self, samples: Tensor, frames: Tensor, state: StreamState, hops: int, layers: Sequence[int]
    ) -> tuple[list[Tensor], StreamState]:
        missing = self.config.chunk_samples - samples.shape[1]
        samples = F.pad(samples, (0, missing)) if missing else samples.contiguous()
        with self._graph.lock:
            hidden, after = advance(self._graph.step, samples, frames, state)
        return [hidden[layer][:, :hops] for layer in layers], after
