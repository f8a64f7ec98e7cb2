"""The fastest engine of this machine: measured once, remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..errors import EngineError, StreamingWavLMError
from ..files import replacing
from ..model import StreamingWavLM
from ..streaming import Streaming
from .available import ENGINES, EXPORTING, why_not

logger = logging.getLogger(__name__)

_STEPS = 5
_LIBRARIES = ("torch", "openvino", "onnxruntime")


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        engine: the name of the fastest engine.
        step_ms: the median time of a step of each engine that can run here, in milliseconds.
        left_out: why each other engine cannot.
        threads: of torch, when it was measured.
    """

    engine: str
    step_ms: dict[str, float]
    left_out: dict[str, str]
    threads: int


Build = Callable[[StreamingWavLM, str, str], Streaming[Any]]


def choose(model: StreamingWavLM, precision: str, build: Build, *, anew: bool = False) -> Choice:
    """Return which engine runs a model fastest on this machine.

    The first time it takes a few steps of each; later it reads what was found then, for this processor and
    device, number of threads, architecture, precision and these versions of the libraries.

    Args:
        model: the model; it is left as it is.
        precision: of the arithmetic.
        build: makes an engine from a model, the engine's name and the precision.
        anew: measure, whatever was found before.

    Raises:
        EngineError: no engine has the precision here.
    """
    if model.dtype != torch.float32:
        return Choice("eager", {}, {}, torch.get_num_threads())
    place = _cache_file()
    name = _name(model, precision)
    if not anew:
        known = _remembered(_read(place).get(name))
        if known is not None and why_not(known.engine, precision, model) is None:
            return known
    choice = _measured(model, precision, build)
    # Read again: another process may have written meanwhile.
    _write(place, {**_read(place), name: asdict(choice)})
    return choice


def fastest(model: StreamingWavLM, precision: str, build: Build) -> Streaming[Any]:
    """Return the engine that runs a model fastest on this machine; arguments and errors as of :func:`choose`.

    A choice that is remembered and can no longer be made is measured anew.
    """
    choice = choose(model, precision, build)
    try:
        return build(model, choice.engine, precision)
    except StreamingWavLMError as error:
        logger.info("engine %s cannot be made, the choice is measured anew: %s", choice.engine, error)
    return build(model, choose(model, precision, build, anew=True).engine, precision)


def _measured(model: StreamingWavLM, precision: str, build: Build) -> Choice:
    times: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for engine in ENGINES[1:]:
        reason = why_not(engine, precision, model)
        if reason is None and engine in EXPORTING:
            reason = EngineError("it exports the model first, each time it is loaded: ask for it by name")
        if reason is None:
            try:
                times[engine] = _step_ms(build(model, engine, precision))
                continue
            except StreamingWavLMError as error:
                reason = error
        left_out[engine] = str(reason)
    if not times:
        raise EngineError(f"no engine has precision {precision!r} here: {'; '.join(left_out.values())}")
    best = min(times, key=lambda engine: times[engine])
    logger.info("engine %s chosen for %s: %s ms a step", best, precision, times)
    return Choice(best, times, left_out, torch.get_num_threads())


@torch.inference_mode()
def _step_ms(engine: Streaming[Any]) -> float:
    """Return the median time of a step of one stream, past its window."""
    config = engine.config
    state = engine.init_state(1)
    chunk = torch.zeros(1, config.chunk_samples, dtype=engine.dtype, device=engine.device)
    chunk.uniform_(-0.1, 0.1, generator=torch.Generator(engine.device).manual_seed(0))
    times = []
    for number in range(_STEPS + 2):
        begin = time.perf_counter()
        _, state = engine.step(chunk, state)
        if engine.device.type == "cuda":  # where a step returns before it is done
            torch.cuda.synchronize(engine.device)
        if number >= 2:
            times.append(1000 * (time.perf_counter() - begin))
    return round(statistics.median(times), 3)


def _remembered(found: Any) -> Choice | None:
    """Return a choice that was read, or None where it is of no use to this version."""
    try:
        choice = Choice(**found)
    except TypeError:
        return None
    return choice if choice.engine in ENGINES[1:] and isinstance(choice.step_ms, dict) else None


def _name(model: StreamingWavLM, precision: str) -> str:
    """Return what a choice depends on, as a short name."""
    facts = [_processor(), _device(model.device), str(torch.get_num_threads())]
    facts += [model.config.fingerprint(), precision]
    # Of the weights, only whether they can be packed: not every checkpoint of an architecture can.
    facts.append(str(why_not("packed", precision, model) is None))
    for library in _LIBRARIES:
        try:
            facts.append(version(library))
        except PackageNotFoundError:
            facts.append("-")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cache_file() -> Path | None:
    """Return where choices are kept; None for a user without a home, as in some containers."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError:
        return None
    return Path(base) / "streaming-wavlm" / "engines.json"


def _read(place: Path | None) -> dict[str, Any]:
    if place is None:
        return {}
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(place: Path | None, choices: dict[str, Any]) -> None:
    if place is None:
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            Path(temporary).write_text(json.dumps(choices, indent=1) + "\n", encoding="utf-8")
    except OSError as error:  # a home that cannot be written to: it will be measured again
        logger.info("the choice of engine is not remembered: %s", error)
