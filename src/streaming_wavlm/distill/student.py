"""The student: what it starts from, and which of its parameters learn."""

from __future__ import annotations

import fnmatch
import logging
import math
from collections.abc import Sequence

import torch
from torch import nn

from ..attention import RelativeBias
from ..config import StreamingWavLMConfig
from ..conversion import convert
from ..errors import ConfigError
from ..keys import nearest
from ..loading import load
from ..model import StreamingWavLM
from .objective_config import ObjectiveConfig
from .recipe import FINAL
from .settings import StudentSettings

logger = logging.getLogger(__name__)

_POSITIONAL = "encoder.positional_embedding."
_INIT_STD = 0.02


def build_student(settings: StudentSettings, seed: int = 0) -> StreamingWavLM:
    """Return the student before its first step, on the CPU in float32.

    Args:
        settings: what it starts from.
        seed: of a start from scratch.

    Raises:
        ConfigError: a field of the architecture is unknown or contradicts the source, or the student would
            not be causal.
        CheckpointError: the source cannot be used.
    """
    student = _started(settings, seed)
    if not student.config.causal:
        raise ConfigError(
            f"a student is causal, and student.init {settings.init!r} gives a bidirectional one"
            + (f": {settings.source}" if settings.source else "")
            + "; leave causal out of student.config, or convert an offline WavLM with student.init convert"
        )
    return student


def _started(settings: StudentSettings, seed: int) -> StreamingWavLM:
    if settings.init == "scratch":
        preset = StreamingWavLMConfig.preset(settings.preset)
        return scratch_student(StreamingWavLMConfig.from_dict(settings.config, preset), seed)
    if settings.source is None:
        raise ConfigError(f"student.init {settings.init!r} needs student.source: a path or a hub id")
    if settings.init == "checkpoint":
        return load(settings.source, config=settings.config)
    if settings.run is not None:
        return load(settings.run / FINAL, config=settings.config)
    student = convert(settings.source, num_layers=settings.num_layers)
    config = StreamingWavLMConfig.from_dict(settings.config, student.config)
    other = StreamingWavLM(config)
    try:
        other.load_state_dict(student.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"student.config changes the shape of the weights that {settings.source} gives it: {error}"
        ) from error
    other.provenance = student.provenance
    return other


def scratch_student(config: StreamingWavLMConfig, seed: int = 0) -> StreamingWavLM:
    """Return a student with random weights, small where a residual stream adds them up.

    Args:
        config: a causal architecture.
        seed: the same seed gives the same weights; the global random generators are not touched.
    """
    if not config.causal:
        raise ConfigError("a student is causal: leave causal out of student.config")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        student = StreamingWavLM(config)
        for name, module in student.named_modules():
            _initialise(name, module, config)
    student.provenance = {"weights": "random", "seed": seed}
    return student


def _initialise(name: str, module: nn.Module, config: StreamingWavLMConfig) -> None:
    if isinstance(module, RelativeBias):
        nn.init.normal_(module.weight, std=_INIT_STD)
    elif isinstance(module, nn.Conv1d):
        fan = module.in_channels // module.groups * module.kernel_size[0]
        # The positional embedding is added to the features: a gain below that of a layer of its own.
        nn.init.normal_(module.weight, std=math.sqrt((1 if name.startswith("encoder") else 2) / fan))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm) and name.startswith("feature_extractor"):
        # Digital silence would otherwise be zero through all norms, where their slope is hundreds each: the
        # gradient of a recording with a pause in it would be 1e15 at the first step.
        nn.init.normal_(module.bias, std=_INIT_STD)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
        if name.endswith("out_proj"):
            module.weight.data.div_(math.sqrt(2 * config.num_layers))


def freeze(student: StreamingWavLM, patterns: Sequence[str]) -> tuple[str, ...]:
    """Keep parameters from learning.

    Args:
        student: changed in place.
        patterns: parameter names, with ``*`` for anything and ``?`` for one character.

    Returns:
        The names of the parameters that are frozen.

    Raises:
        ConfigError: a pattern matches nothing, or nothing is left to learn.
    """
    names = [name for name, _ in student.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(names, pattern)
        if not found:
            raise ConfigError(
                f"student.freeze: {pattern!r} matches no parameter{nearest(pattern, names)}; names are such "
                "as 'encoder.relative_embedding.weight' or 'feature_extractor.*'"
            )
        frozen.update(found)
    for name, parameter in student.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise ConfigError(f"student.freeze leaves nothing to learn: {', '.join(patterns)}")
    return tuple(name for name in names if name in frozen)


def unreached(student: StreamingWavLM, objective: ObjectiveConfig) -> list[str]:
    """Return the parameters that an objective gives no gradient, whatever the audio.

    Args:
        student: the student.
        objective: what it is asked.
    """
    names = [name for name, _ in student.named_parameters()]
    if objective.positional is not None:
        return [name for name in names if not name.startswith(_POSITIONAL)]
    layers = student.config.num_layers
    deepest = max(pair.student_layer % (layers + 1) for pair in objective.all_pairs())
    above = tuple(f"encoder.layers.{layer}." for layer in range(deepest, layers))
    return [name for name in names if name.startswith(above)] if above else []


def prepare_student(student: StreamingWavLM, objective: ObjectiveConfig, patterns: Sequence[str]) -> None:
    """Switch on the gradients of what is to learn, and of nothing else.

    Args:
        student: changed in place.
        objective: what it is asked.
        patterns: what is frozen besides; see :func:`freeze`.

    Raises:
        ConfigError: a pattern matches nothing, or nothing is left to learn.
    """
    student.requires_grad_(True)
    out_of_reach = unreached(student, objective)
    if out_of_reach and objective.positional is None:
        logger.warning(
            "no pair asks for the student's last layers: %d of its parameters, from %s on, learn nothing",
            len(out_of_reach),
            out_of_reach[0],
        )
    freeze(student, [*out_of_reach, *patterns])
    student.train()
