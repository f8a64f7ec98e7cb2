"""What a step must compute and read at least, counted from the config, and the time that takes a machine."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import SAMPLE_RATE, StreamingWavLMConfig

_WIDTHS = {"fp32": 4, "bf16": 2, "int8": 1}


@dataclass(frozen=True)
class Part:
    """One part of the network, per chunk of one stream.

    Attributes:
        name: ``"front end"``, ``"linears"``, ``"attention"`` or ``"positional"``.
        operations: additions and multiplications of its products.
        weights: numbers that are read whatever the batch.
        cached: numbers of keys and values that are read for each stream.
    """

    name: str
    operations: float
    weights: int
    cached: int = 0


@dataclass(frozen=True)
class Machine:
    """What the machine was measured to do.

    Attributes:
        rates: operations a second of a large matrix product, by precision.
        bandwidth: bytes read a second.
    """

    rates: dict[str, float]
    bandwidth: float


def parts(config: StreamingWavLMConfig) -> tuple[Part, ...]:
    """Count one chunk of one stream, its window full.

    Left out is what is small beside the products: norms, activations, the softmax, the state's contexts.

    Args:
        config: the architecture and its chunk.
    """
    frames, dim = config.chunk_frames, config.dim
    channels = (1, *config.hidden_dims)
    steps: float = config.chunk_samples
    convolving, kernels = 0.0, 0
    for before, after, kernel, stride in zip(
        channels, channels[1:], config.kernel_sizes, config.strides, strict=False
    ):
        steps /= stride
        weights = before * after * kernel
        convolving += 2 * steps * weights
        kernels += weights + after * (2 + config.conv_bias)
    matrices = config.num_layers * (4 * dim * dim + 2 * dim * config.ffn_dim) + channels[-1] * dim
    others = config.num_layers * (9 * dim + config.ffn_dim) + dim
    embedding = config.conv_pos * dim * (dim // config.conv_pos_groups)
    attending = config.num_layers * config.window_size * dim
    return (
        Part("front end", convolving, kernels),
        Part("linears", 2.0 * frames * matrices, matrices + others),
        Part("attention", 4.0 * frames * attending, 0, 2 * attending),
        Part("positional", 2.0 * frames * embedding, embedding + dim),
    )


def operations_per_second(config: StreamingWavLMConfig) -> float:
    """Return the operations that a second of audio takes."""
    return sum(part.operations for part in parts(config)) * SAMPLE_RATE / config.chunk_samples


def weight_bytes(config: StreamingWavLMConfig, precision: str) -> float:
    """Return the bytes of the weights that a step reads.

    Args:
        config: the architecture.
        precision: ``"fp32"``, ``"bf16"``, or ``"int8"``: the linears' in int8, the others' in bf16.
    """
    return float(sum(part.weights * _WIDTHS[_kind(part, precision)] for part in parts(config)))


def floor_seconds(config: StreamingWavLMConfig, precision: str, machine: Machine, batch: int = 1) -> float:
    """Return the least time of a step: its operations at the peak or its bytes, whichever takes longer.

    Args:
        config: the architecture and its chunk.
        precision: ``"fp32"``, ``"bf16"``, or ``"int8"``: the linears in int8, the rest in bf16.
        machine: what it was measured to do.
        batch: streams that step together and share the weights.
    """
    computing, read = 0.0, weight_bytes(config, precision)
    for part in parts(config):
        kind = _kind(part, precision)
        computing += batch * part.operations / machine.rates[kind]
        read += batch * part.cached * _WIDTHS[kind]
    return max(computing, read / machine.bandwidth)


def _kind(part: Part, precision: str) -> str:
    return "bf16" if precision == "int8" and part.name != "linears" else precision
