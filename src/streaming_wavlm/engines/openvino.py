"""The OpenVINO engine: the fastest int8 on processors with AVX-512 that was found."""

from __future__ import annotations

from .graph import GraphEngine


class OpenVINOModel(GraphEngine):
    """A causal model in OpenVINO; see :class:`GraphEngine`.

    ``"int8"`` has int8 weights with a scale per output channel, activations quantised as they come in groups
    of 128, and everything else, keys and values included, in bfloat16.
    """

    name = "openvino"
    format = "openvino"
