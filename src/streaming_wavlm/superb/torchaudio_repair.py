"""What S3PRL needs of torchaudio where the installed one lacks it or its native library does not load."""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

logger = logging.getLogger(__name__)

_EXTENSION = "torchaudio._extension"
_MARK = "__streaming_wavlm_repaired__"


def load(module: ModuleType, execute: Callable[[], None]) -> None:
    """Load torchaudio, without its native library if that does not load, and complete it.

    Args:
        module: torchaudio, not executed yet.
        execute: executes it.
    """
    try:
        execute()
    except (OSError, RuntimeError) as error:
        # Raised by the dynamic loader, or by torchaudio on finding itself built for another CUDA.
        if _EXTENSION in sys.modules:
            raise
        logger.debug("torchaudio's native library does not load (%s); going without", error)
        sys.modules[_EXTENSION] = _NoExtension(_EXTENSION)
        execute()
    complete(module)


def complete(torchaudio: ModuleType) -> None:
    """Add what a loaded torchaudio lacks; what is there and works stays.

    Args:
        torchaudio: the module.
    """
    if hasattr(torchaudio, _MARK):
        return
    changed = [*_backends(torchaudio), *_audio_io(torchaudio), *_sox_effects(torchaudio)]
    if isinstance(sys.modules.get(_EXTENSION), _NoExtension):
        changed.append(_EXTENSION)
    if changed:
        setattr(torchaudio, _MARK, tuple(changed))
        logger.debug(
            "torchaudio %s: replaced %s", getattr(torchaudio, "__version__", "?"), ", ".join(changed)
        )


def repaired() -> tuple[str, ...]:
    """Return the names of torchaudio that had to be replaced in this process."""
    found: tuple[str, ...] = getattr(sys.modules.get("torchaudio"), _MARK, ())
    return found


class _NoExtension(ModuleType):
    """Stands for ``torchaudio._extension`` and answers each of its questions with "not available"."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_IS_") or name == "_SOX_INITIALIZED":
            return False
        if name.startswith("fail_if_no_"):
            return _fail_on_call
        if name.startswith("lazy_import_"):
            return _Absent
        if name in ("_load_lib", "_check_cuda_version"):
            return lambda *_: False
        raise AttributeError(name)


class _Absent:
    def is_available(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"torchaudio's native library does not load here, so {name} is not available")


def _fail_on_call(function: Callable[..., Any]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        return getattr(_Absent(), function.__name__)

    return fail


def _backends(torchaudio: ModuleType) -> list[str]:
    """Audio backends could be chosen up to torchaudio 2.8; later there is one way to read a file."""
    substitutes: dict[str, Callable[..., Any]] = {
        "set_audio_backend": lambda backend=None: None,
        "get_audio_backend": lambda: "soundfile",
        "list_audio_backends": lambda: ["soundfile"],
    }
    return _fill(torchaudio, {name: f for name, f in substitutes.items() if not hasattr(torchaudio, name)})


def _audio_io(torchaudio: ModuleType) -> list[str]:
    """Replace reading and writing if a file of ten samples does not survive them."""
    from . import audio_io

    def survives() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "probe.wav")
            torchaudio.save(path, torch.zeros(1, 10), 16000)
            return bool(torchaudio.load(path)[0].shape == (1, 10) and torchaudio.info(path).num_frames == 10)

    if _works(survives):
        return []
    return _fill(torchaudio, {"load": audio_io.load, "save": audio_io.save, "info": audio_io.info})


def _sox_effects(torchaudio: ModuleType) -> list[str]:
    """Replace what torchaudio dropped in 2.9, and what needs a SoX of the system before that."""
    from . import sox

    name = f"{torchaudio.__name__}.sox_effects"

    def works() -> bool:
        apply = importlib.import_module(name).apply_effects_tensor
        return bool(apply(torch.zeros(1, 160), 16000, [["gain", "-3.0"]])[1] == 16000)

    if _works(works):
        return []
    module = sys.modules.get(name) or ModuleType(name, "SoX's effects without SoX.")
    sys.modules[name] = module
    torchaudio.__dict__["sox_effects"] = module
    substitutes = (sox.apply_effects_tensor, sox.apply_effects_file, sox.effect_names)
    return _fill(module, {function.__name__: function for function in substitutes})


def _works(probe: Callable[[], bool]) -> bool:
    """Tell whether something optional works; every way in which it may fail counts as no."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return probe()
        except Exception as error:  # noqa: BLE001 - native code and old versions fail in every way there is
            logger.debug("%s", error)
            return False


def _fill(module: ModuleType, functions: dict[str, Callable[..., Any]]) -> list[str]:
    for name, function in functions.items():
        setattr(module, name, function)
    return [f"{module.__name__}.{name}" for name in functions]
