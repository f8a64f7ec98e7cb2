"""A step on a GPU as one launch: captured once per batch size, replayed on buffers that stay in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..errors import EngineError
from ..model import StreamingWavLM
from ..state import StreamState
from ..streaming import Feed
from .base import Engine
from .converted import converted
from .linear import Precision

_WARM_UP = 3


class Captured:
    """The feed of one batch size, on buffers of its own.

    Args:
        model: whose feed it is.
        feed: of the shapes to capture.
        state: of the same batch.
    """

    # Buffers made in inference mode could not be written outside it.
    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, model: StreamingWavLM, feed: Feed, state: StreamState) -> None:
        self._model = model
        self._inputs = [feed.samples.clone(), feed.frames.clone(), *(leaf.clone() for leaf in _leaves(state))]
        self._structure = pytree.tree_structure(state)
        self._outputs: list[Tensor] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        if feed.samples.is_cuda:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._run()
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = self._run()

    def __call__(self, feed: Feed, state: StreamState) -> tuple[list[Tensor], StreamState]:
        """Return all hidden states and the state after the feed, as tensors of their own."""
        for buffer, value in zip(self._inputs, [feed.samples, feed.frames, *_leaves(state)], strict=True):
            buffer.copy_(value)
        if self._graph is None:
            self._outputs = self._run()
        else:
            self._graph.replay()
        outputs = [tensor.clone() for tensor in self._outputs]
        layers = self._model.config.num_layers
        after: StreamState = pytree.tree_unflatten(outputs[layers:], self._structure)
        return outputs[:layers], after

    def _run(self) -> list[Tensor]:
        """Run the feed on the buffers, with no word to or from the host: what a graph can hold."""
        samples, frames, *leaves = self._inputs
        state: StreamState = pytree.tree_unflatten(leaves, self._structure)
        hidden, after = self._model._feed(samples, state, state.position + frames, self._model.config)
        return [*hidden, *_leaves(after)]


class GraphedModel(Engine[StreamState]):
    """A model on a GPU whose steps are CUDA graphs; on a CPU the same code runs without them, for tests.

    Args:
        model: the model, on its device; bf16 is a matter of its weights, see ``precision``.
        precision: ``"fp32"`` or ``"bf16"``; the weights are brought to it in a copy.
        sizes: batch sizes that are kept captured; each holds its own copy of a batch's state.

    Raises:
        ConfigError: the model is bidirectional.
        EngineError: the precision is int8.
    """

    name = "cuda_graph"

    def __init__(self, model: StreamingWavLM, precision: Precision = "fp32", *, sizes: int = 8) -> None:
        super().__init__(model, precision)
        if precision == "int8":
            raise EngineError('engine "cuda_graph" has no int8; use precision "bf16" or "fp32"')
        self._model = converted(model, torch.bfloat16) if precision == "bf16" else model
        self._sizes = sizes
        self._captured: dict[tuple[int, ...], Captured] = {}

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return self._model.dtype

    def with_chunk(self, chunk_ms: int) -> GraphedModel:
        """Return an engine with the same weights and another chunk size; see :meth:`Engine.with_chunk`."""
        other = super().with_chunk(chunk_ms)
        other._model = self._model.with_chunk(chunk_ms)
        other._captured = {}
        return other

    def _begin(self, batch: int) -> StreamState:
        return self._model.init_state(batch)

    def _adopt(self, state: Any) -> StreamState:
        return self._model._adopt(state)

    @torch.no_grad()
    def _advance(
        self, feed: Feed, state: StreamState, layers: Sequence[int]
    ) -> tuple[list[Tensor], StreamState]:
        name = tuple(feed.samples.shape)
        captured = self._captured.pop(name, None)
        if captured is None:
            captured = Captured(self._model, feed, state)
        self._captured[name] = captured
        while len(self._captured) > self._sizes:
            del self._captured[next(iter(self._captured))]
        hidden, after = captured(feed, state)
        if feed.active is not None:
            after = after.where(feed.active, state)
        return [hidden[layer] for layer in layers], after


def _leaves(state: StreamState) -> list[Any]:
    return pytree.tree_leaves(state)
