"""Matrix products whose weights are laid out once, for the few rows of a streaming step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = ("fp32", "bf16", "int8")


@dataclass(frozen=True)
class Arithmetic:
    """In which types a packed engine computes.

    Attributes:
        wide: of the residual stream, the norms, the softmax and the features.
        narrow: of the products, the convolutions, keys and values.
        int8: whether the transformer's products are in int8 instead.
        plain: torch's ordinary products, as where oneDNN is missing.
    """

    wide: torch.dtype
    narrow: torch.dtype
    int8: bool = False
    plain: bool = False

    @classmethod
    def of(cls, precision: Precision, dtype: torch.dtype) -> Arithmetic:
        """Return the arithmetic of a precision, for a model of a type; a float64 model stays in float64."""
        if dtype == torch.float64:
            return cls(dtype, dtype, plain=True)
        narrow = torch.float32 if precision == "fp32" else torch.bfloat16
        return cls(torch.float32, narrow, precision == "int8", not prepacks())


# Unsigned with its zero in the middle: signed activations fall to a reference path a hundred times slower.
_ZERO_POINT = 128
_LEVELS = 127
# Laid out for fewer rows, bfloat16 weights serve 10 to 20 rows up to 1.5 times more slowly.
_ROWS = 32
_ROUNDING = 1.5 * 2**23 + _ZERO_POINT


def prepacks() -> bool:
    """Return whether this build of torch can lay weights out for oneDNN (private operators of torch)."""
    ops: Any = torch.ops
    try:
        return bool(
            torch._C._has_mkldnn and ops.mkldnn._reorder_linear_weight and ops.mkldnn._linear_pointwise
        )
    except (AttributeError, RuntimeError):
        return False


def quantizes() -> bool:
    """Return whether this build of torch has oneDNN's int8 products (private operators of torch)."""
    ops: Any = torch.ops
    try:
        return bool(prepacks() and ops.onednn.qlinear_prepack and ops.onednn.qlinear_pointwise)
    except (AttributeError, RuntimeError):
        return False


class Product:
    """``inputs @ weight.T + bias``, in float32 or bfloat16, with weights laid out for the processor.

    Args:
        weight: ``[outputs, inputs]``.
        bias: ``[outputs]``; none when None.
        rows: how many rows of input to lay out for; any number may come.
        gelu: apply GELU to the result.
        plain: use torch's ordinary product.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, rows: int, *, gelu: bool = False, plain: bool = False
    ) -> None:
        self.dtype = weight.dtype
        self._bias = None if bias is None else bias.clone()
        self._gelu = gelu
        self._plain = plain
        if self._plain:
            self._weight = weight.contiguous().clone()
        else:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), max(rows, _ROWS))

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map ``[rows, inputs]`` to ``[rows, outputs]``."""
        if self._plain:
            outputs = F.linear(inputs, self._weight, self._bias)
            return F.gelu(outputs) if self._gelu else outputs
        name, algorithm = ("gelu", "none") if self._gelu else ("none", "")
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self._weight, self._bias, name, [], algorithm
        )
        return result


class QuantizedProduct:
    """A product in int8: a scale per output for the weights, one per row for the inputs.

    A row's scale is its own largest value's, so that no row depends on its neighbours in the batch.

    Args:
        weight: float32 ``[outputs, inputs]``.
        bias: float32 ``[outputs]``; none when None.
        rows: how many rows of input to lay out for; any number may come.
        gelu: apply GELU to the result.
    """

    dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int, *, gelu: bool = False) -> None:
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / _LEVELS
        levels = (weight / scale[:, None]).round().clamp(-_LEVELS, _LEVELS).to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(levels.contiguous(), [rows, weight.shape[1]])
        self._scale = scale
        self._zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
        self._bias = None if bias is None else bias.clone()
        self._gelu = gelu

    def __call__(self, inputs: Tensor) -> Tensor:
        """Map float32 ``[rows, inputs]`` to float32 ``[rows, outputs]``."""
        # Not the infinity norm, which is ten times slower.
        size = inputs.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).mul_(1 / _LEVELS)
        # Added to so large a number, a level is rounded and stands in the lowest byte: a third of the time of
        # a conversion from floating point to bytes.
        levels = (inputs * size.reciprocal()).add_(_ROUNDING).view(torch.int32).to(torch.uint8)
        outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
            levels, 1.0, _ZERO_POINT, self._weight, self._scale, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        outputs = outputs.mul_(size) if self._bias is None else torch.addcmul(self._bias, outputs, size)
        return F.gelu(outputs) if self._gelu else outputs


def product(
    weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic, rows: int, *, gelu: bool = False
) -> Product | QuantizedProduct:
    """Return a product in an arithmetic; see :class:`Product` and :class:`QuantizedProduct`."""
    kind = torch.float32 if arithmetic.int8 else arithmetic.narrow
    weight = weight.detach().to(kind)
    bias = None if bias is None else bias.detach().to(kind)
    if arithmetic.int8:
        return QuantizedProduct(weight, bias, rows, gelu=gelu)
    return Product(weight, bias, rows, gelu=gelu, plain=arithmetic.plain)
