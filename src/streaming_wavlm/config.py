"""The architecture as one frozen value, and the latency that follows from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from .errors import ConfigError, UnknownKeyError
from .keys import flatten_keys, nearest, shown
from .presets import PRESETS

SAMPLE_RATE = 16_000
FORMAT_VERSION = 1
# Far beyond any model, and far below what overflows: an hour of chunk, six hours of window.
_MOST = {"num_layers": 10_000, "chunk_ms": 3_600_000, "max_distance": 2**31 - 1}
_MOST_OTHER = 2**20

FrontPad = Literal["kernel-1", "kernel-stride", "valid"]


@dataclass(frozen=True)
class Latency:
    """Algorithmic latency: what the arithmetic costs, whatever the machine.

    Attributes:
        chunk_ms: audio collected before one step can run, in milliseconds.
        front_end_ms: how long the last samples of a chunk wait for the frame of the next chunk that first
            hears them, in milliseconds (19.9375 with ``kernel-1`` padding, 0 with ``kernel-stride``).
        lookahead_ms: the most audio after its own frame that a feature may depend on, in milliseconds.
    """

    chunk_ms: float
    front_end_ms: float
    lookahead_ms: float

    @property
    def algorithmic_ms(self) -> float:
        """The longest wait of any sample, from its arrival until a feature that needs it can leave [ms]."""
        return self.chunk_ms + self.front_end_ms


@dataclass(frozen=True)
class StreamingWavLMConfig:
    """Every number that defines a model; two models with equal configs compute the same function.

    The first group carries the field names that published causal WavLM checkpoints use.

    Attributes:
        hidden_dims: channels of each front-end convolution.
        kernel_sizes: kernel of each front-end convolution, in its input's steps.
        strides: stride of each front-end convolution; their product is the hop (320 samples, 20 ms).
        num_layers: transformer layers.
        dim: width of the hidden states.
        ffn_dim: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_buckets: relative-position buckets, half of them for keys after the query.
        max_distance: distance in frames from which all keys share the last bucket.
        dropout: dropout probability in training.
        conv_pos: kernel of the convolutional positional embedding, in frames.
        conv_pos_groups: groups of the convolutional positional embedding.
        causal: False only for the bidirectional reference, which cannot be streamed.
        window_size: the most frames a frame may attend to, counted back from the end it sees.
        lookahead_size: frames of lookahead inside a block of ``1 + lookahead_size``, or ``"chunk"``.
        chunk_ms: audio that one step processes, in milliseconds; a multiple of the hop.
        front_pad: left padding of the front-end convolutions: ``"kernel-1"``, ``"kernel-stride"``, or
            ``"valid"`` (none) for the bidirectional reference.
        conv_bias: whether the front-end convolutions have a bias.
        final_norm: LayerNorm after the last layer (bidirectional reference only).
        normalize: per-utterance waveform normalisation (bidirectional reference only: it is not causal).

    Raises:
        ConfigError: a value is out of range or contradicts another.
    """

    hidden_dims: tuple[int, ...] = (512,) * 7
    kernel_sizes: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    num_layers: int = 12
    dim: int = 1024
    ffn_dim: int = 4096
    num_heads: int = 16
    num_buckets: int = 320
    max_distance: int = 800
    dropout: float = 0.0
    conv_pos: int = 128
    conv_pos_groups: int = 16
    causal: bool = True
    window_size: int = 512
    lookahead_size: int | Literal["chunk"] = 3

    chunk_ms: int = 400
    front_pad: FrontPad = "kernel-1"
    conv_bias: bool = False
    final_norm: bool = False
    normalize: bool = False

    _digest: ClassVar[str]

    def __post_init__(self) -> None:
        for name in ("hidden_dims", "kernel_sizes", "strides"):
            object.__setattr__(self, name, _int_tuple(name, getattr(self, name)))
        _check(self)
        # 0 and 0.0 are equal, and must be so in JSON too.
        object.__setattr__(self, "dropout", float(self.dropout))
        # Computed here, once: streaming compares it at every step, and tracers cannot see through a hash.
        text = json.dumps(self.to_dict(), sort_keys=True)
        object.__setattr__(self, "_digest", hashlib.sha256(text.encode()).hexdigest()[:16])

    @property
    def hop(self) -> int:
        """Samples per frame (320)."""
        return math.prod(self.strides)

    @property
    def chunk_samples(self) -> int:
        """Samples per chunk."""
        return self.chunk_ms * SAMPLE_RATE // 1000

    @property
    def chunk_frames(self) -> int:
        """Frames per chunk."""
        return self.chunk_samples // self.hop

    @property
    def block_frames(self) -> int:
        """Frames per block: within one, every frame sees the same keys."""
        return self.chunk_frames if self.lookahead_size == "chunk" else 1 + self.lookahead_size

    @property
    def receptive_field(self) -> int:
        """Samples that one front-end frame hears (400)."""
        field, jump = 1, 1
        for kernel, stride in zip(self.kernel_sizes, self.strides, strict=True):
            field += (kernel - 1) * jump
            jump *= stride
        return field

    @property
    def front_pads(self) -> tuple[int, ...]:
        """Left padding of each front-end convolution, in its input's steps."""
        if self.front_pad == "valid":
            return (0,) * len(self.kernel_sizes)
        if self.front_pad == "kernel-1":
            return tuple(kernel - 1 for kernel in self.kernel_sizes)
        return tuple(kernel - stride for kernel, stride in zip(self.kernel_sizes, self.strides, strict=True))

    @property
    def latency(self) -> Latency:
        """The algorithmic latency of streaming with this config.

        Raises:
            ConfigError: the config is bidirectional, so its latency is the whole recording.
        """
        if not self.causal:
            raise ConfigError(
                "a bidirectional config has no latency: it needs the whole recording; stream a causal one"
            )
        ms = 1000 / SAMPLE_RATE
        # With kernel-1 a frame hears one sample of its own hop: the rest of a chunk's last hop waits a hop.
        waits = self.hop - 1 if self.front_pad == "kernel-1" else 0
        ahead = min(self.block_frames, self.chunk_frames) - 1
        return Latency(self.chunk_samples * ms, waits * ms, ahead * self.hop * ms)

    def num_frames(self, samples: int) -> int:
        """Frames that a recording of ``samples`` samples gives, its last partial frame included."""
        if self.causal:
            return -(-samples // self.hop)
        return max(0, (samples - self.receptive_field) // self.hop + 1)

    def replace(self, **changes: Any) -> StreamingWavLMConfig:
        """Return a copy with some fields changed, checked as a new config is."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    def fingerprint(self) -> str:
        """Return a short digest that two configs share exactly when they are equal."""
        return self._digest

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Return the names of all fields, in order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> StreamingWavLMConfig:
        """Return a named architecture, ``"large"`` (164.3 M parameters) or ``"mini"``.

        Args:
            name: the preset.
            **changes: fields to change, such as ``chunk_ms=200``.

        Raises:
            ConfigError: no preset has that name.
        """
        if name not in PRESETS:
            raise ConfigError(f"no preset is called {name!r}; there are {', '.join(map(repr, PRESETS))}")
        return cls(**{**PRESETS[name], **changes})

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], base: StreamingWavLMConfig | None = None
    ) -> StreamingWavLMConfig:
        """Build a config from a mapping: flat, nested under ``wavlm:``, or with the prefix ``student_``.

        Args:
            values: the fields given; the others come from ``base``.
            base: the config to start from; the defaults when None.

        Raises:
            UnknownKeyError: a key names no field; the message offers the nearest.
            ConfigError: a value is out of range.
        """
        return (base or cls()).replace(**cls.given_fields(values))

    @classmethod
    def given_fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that a mapping gives, under their plain names, their values not yet looked at.

        Args:
            values: the fields: flat, nested under ``wavlm:``, or with the prefix ``student_``.

        Raises:
            UnknownKeyError: a key names no field; the message offers the nearest.
            ConfigError: ``values`` is no mapping, or gives a field twice.
        """
        given = flatten_keys(values)
        known = cls.field_names()
        for key in given:
            if key not in known:
                raise UnknownKeyError(
                    f"config has the key {shown(key)}, which is no field{nearest(key, known)}; "
                    f"the fields are {', '.join(known)}"
                )
        return given


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _int_tuple(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigError(f"{name} must be a list of positive integers, got {shown(value)}")
    items = tuple(value)
    if not items or not all(map(_is_count, items)) or max(items) > _MOST_OTHER:
        raise ConfigError(
            f"{name} must be a list of positive integers up to {_MOST_OTHER}, got {shown(list(items))}"
        )
    return items


def _check(config: StreamingWavLMConfig) -> None:
    """Refuse what no model can be built from, one rule a line."""

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise ConfigError(message)

    for name in (
        "num_layers", "dim", "ffn_dim", "num_heads", "num_buckets", "max_distance", "conv_pos",
        "conv_pos_groups", "window_size", "chunk_ms",
    ):  # fmt: skip
        value = getattr(config, name)
        require(_is_count(value), f"{name} must be a positive integer, got {shown(value)}")
        require(
            value <= _MOST.get(name, _MOST_OTHER),
            f"{name} must be at most {_MOST.get(name, _MOST_OTHER)}, got {shown(value)}",
        )
    for name in ("causal", "conv_bias", "final_norm", "normalize"):
        value = getattr(config, name)
        require(isinstance(value, bool), f"{name} must be true or false, got {shown(value)}")
    lengths = {len(config.hidden_dims), len(config.kernel_sizes), len(config.strides)}
    require(
        len(lengths) == 1,
        "hidden_dims, kernel_sizes and strides must have the same length, got "
        f"{len(config.hidden_dims)}, {len(config.kernel_sizes)} and {len(config.strides)}",
    )
    require(
        all(kernel >= stride for kernel, stride in zip(config.kernel_sizes, config.strides, strict=True)),
        f"every kernel must be at least its stride, got {config.kernel_sizes} and {config.strides}",
    )
    require(
        config.dim % config.num_heads == 0,
        f"dim must be a multiple of num_heads, got {config.dim} and {config.num_heads}",
    )
    require(
        config.dim % config.conv_pos_groups == 0,
        f"dim must be a multiple of conv_pos_groups, got {config.dim} and {config.conv_pos_groups}",
    )
    require(
        config.num_buckets % 4 == 0 and config.max_distance > config.num_buckets // 4,
        "num_buckets must be a multiple of 4 and max_distance above a quarter of it, "
        f"got {config.num_buckets} and {config.max_distance}",
    )
    require(
        isinstance(config.dropout, int | float)
        and not isinstance(config.dropout, bool)
        and 0 <= config.dropout < 1,
        f"dropout must be in [0, 1), got {shown(config.dropout)}",
    )
    lookahead = config.lookahead_size
    require(
        lookahead == "chunk"
        or (isinstance(lookahead, int) and not isinstance(lookahead, bool) and lookahead >= 0),
        f'lookahead_size must be a number of frames from 0 or "chunk", got {shown(lookahead)}',
    )
    require(
        lookahead == "chunk" or lookahead <= _MOST_OTHER,
        f"lookahead_size must be at most {_MOST_OTHER}, got {shown(lookahead)}",
    )
    require(
        config.front_pad in ("kernel-1", "kernel-stride", "valid"),
        f'front_pad must be "kernel-1", "kernel-stride" or "valid", got {shown(config.front_pad)}',
    )
    hop_ms = config.hop * 1000 / SAMPLE_RATE
    require(
        config.chunk_ms * SAMPLE_RATE % (1000 * config.hop) == 0,
        f"chunk_ms must be a multiple of the hop ({hop_ms:g} ms), got {config.chunk_ms}",
    )
    if config.causal:
        require(config.front_pad != "valid", 'a causal config needs front_pad "kernel-1" or "kernel-stride"')
        require(not config.final_norm, "final_norm belongs to the bidirectional reference (causal: false)")
        require(
            not config.normalize,
            "normalize needs the whole recording, which is not causal; feed raw audio (normalize: false)",
        )
        require(
            lookahead == "chunk" or lookahead < config.window_size,
            f"lookahead_size ({lookahead}) must be below window_size ({config.window_size})",
        )
    else:
        require(config.front_pad == "valid", 'a bidirectional config (causal: false) has front_pad "valid"')
