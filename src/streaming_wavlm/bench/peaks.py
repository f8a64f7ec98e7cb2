"""What the machine can do: the rate of large matrix products, and of reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from ..engines.linear import Product, prepacks, quantizes

# A product large enough for every core, small enough that its weights stay in the cache.
_ROWS, _INPUTS, _OUTPUTS = 1024, 1024, 1024
_READ = 64 * 2**20  # numbers; 256 MiB is more than any cache


class PeakSubject:
    """The machine itself, as a candidate among the others."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(_OUTPUTS, _INPUTS, generator=generator)
        inputs = torch.randn(_ROWS, _INPUTS, generator=generator)
        self._ways: dict[str, list[Callable[[], Any]]] = {"fp32": [], "bf16": [], "int8": []}
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            left, right = inputs.to(dtype), weight.to(dtype)
            self._ways[name].append(partial(F.linear, left, right))
            if prepacks():
                self._ways[name].append(partial(Product(right, None, _ROWS), left))
        if quantizes():
            self._ways["int8"].append(_int8_product(inputs, weight))
        # Not zeros: the system hands those out as one page over and over, which stays in the cache.
        self._memory = torch.ones(_READ)

    def turn(self) -> dict[str, float]:
        """Return operations a second by precision, the fastest way of each, and bytes read a second."""
        found = {}
        operations = 2.0 * _ROWS * _INPUTS * _OUTPUTS
        with torch.inference_mode():
            for name, ways in self._ways.items():
                if ways:
                    found[name] = operations / min(_seconds(way) for way in ways)
            found["bandwidth"] = 4.0 * _READ / _seconds(self._memory.sum)
        return found


def _int8_product(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], Any]:
    ops: Any = torch.ops.onednn
    packed = ops.qlinear_prepack((weight * 30).clamp(-127, 127).to(torch.int8), list(inputs.shape))
    scales, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int32)
    levels = (inputs * 30 + 128).clamp(0, 255).to(torch.uint8)
    # Out in bfloat16: writing float32 takes as long as a part of the product.
    return lambda: ops.qlinear_pointwise(
        levels, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
    )


def _seconds(way: Callable[[], Any]) -> float:
    """Return the median time of three calls after one that is not counted."""
    way()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        way()
        times.append(time.perf_counter() - begin)
    return sorted(times)[1]
