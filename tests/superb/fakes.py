"""Stand-ins for the libraries of older and newer stacks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from streaming_wavlm.superb import audio_io


def put(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> ModuleType:
    """Have a module of this name and with these contents imported."""
    module = ModuleType(name)
    module.__dict__.update(contents)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def old_torchaudio(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One in which everything that S3PRL uses is there and works."""
    effects = put(
        monkeypatch,
        "torchaudio.sox_effects",
        apply_effects_tensor=lambda tensor, rate, effects: (tensor, rate),
        apply_effects_file=lambda path, effects: (torch.zeros(1, 1), 16000),
    )
    return put(
        monkeypatch,
        "torchaudio",
        sox_effects=effects,
        load=audio_io.load,
        save=audio_io.save,
        info=audio_io.info,
        set_audio_backend=lambda backend: None,
        get_audio_backend=lambda: "sox_io",
        list_audio_backends=lambda: ["sox_io", "soundfile"],
    )


def old_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return put(monkeypatch, "huggingface_hub", HfApi=object, HfFolder=object, Repository=object)


def broken_torchaudio(folder: Path, error: str = "OSError('libcudart is not here')") -> Path:
    """Write one whose native library does not load, and return where it is importable from."""
    package = folder / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text("from . import _extension\nfrom . import functional\n")
    (package / "_extension" / "__init__.py").write_text(f"raise {error}\n")
    (package / "functional.py").write_text(
        "import torchaudio\n"
        "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE, fail_if_no_align\n"
        "sox = torchaudio._extension.lazy_import_sox_ext()\n"
        "@fail_if_no_align\n"
        "def forced_align(): ...\n"
    )
    return folder
