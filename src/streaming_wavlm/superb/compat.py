"""The compatibility layer: S3PRL 0.4.18 on stacks of today, without a change to any installed file.

Each repair looks whether the feature is there and works, and only then steps in, so where S3PRL works by
itself nothing changes. :func:`apply` mends what is loaded already; ``hook`` mends the rest as it is loaded.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import io
import logging
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from ..errors import MissingDependencyError, StreamingWavLMError, SuperbError
from . import hook, stand_ins, torchaudio_repair

logger = logging.getLogger(__name__)
EXTRA = 'pip install "streaming-wavlm[superb]"'

Execute = Callable[[], None]


def apply() -> None:
    """Make S3PRL importable and its experiments readable; does nothing the second time.

    Raises:
        MissingDependencyError: torchaudio is not installed.
    """
    hook.install()
    require("torchaudio", "S3PRL computes its own features with it")
    torchaudio_repair.complete(importlib.import_module("torchaudio"))
    _add_hub_placeholders()
    allow_experiments()


def require(name: str, why: str) -> None:
    """Require an installed package.

    Args:
        name: of the module.
        why: it is needed, as the end of the sentence "NAME is not installed and ...".

    Raises:
        MissingDependencyError: it is not there.
    """
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        raise MissingDependencyError(f"{name} is not installed and {why}; {EXTRA}")


def _add_hub_placeholders() -> None:
    """S3PRL's runner imports two names that huggingface_hub 1.0 dropped, and uses them only to publish."""
    require("huggingface_hub", "S3PRL's runner imports it")
    hub = importlib.import_module("huggingface_hub")
    for name in ("HfFolder", "Repository"):
        if not hasattr(hub, name):
            setattr(
                hub, name, type(name, (), {"__init__": _refuse, "get_token": _refuse, "save_token": _refuse})
            )


def _refuse(*_: Any, **__: Any) -> None:
    raise SuperbError(
        "S3PRL's --push_to_hf_hub and --hub huggingface need huggingface_hub below 1.0: "
        'pip install "huggingface_hub<1", or leave the option out'
    )


def allow_experiments() -> None:
    """Let ``torch.load`` read S3PRL's experiments, which hold an ``argparse.Namespace``."""
    buffer = io.BytesIO()
    torch.save(argparse.Namespace(), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError:
        torch.serialization.add_safe_globals([argparse.Namespace])


def _load_hub(module: ModuleType, execute: Execute) -> None:
    apply()
    execute()
    from .registration import register_on

    try:
        register_on(module)
    except StreamingWavLMError as error:
        # Somebody else's name is no reason to keep S3PRL from loading; register() raises this.
        logger.warning("%s", error)


def _load_verification_data(module: ModuleType, execute: Execute) -> None:
    """Its preprocessing runs in new processes, which know nothing of these repairs; threads share them."""
    with stand_ins.standing_in("sox", Transformer=stand_ins.Transformer):
        execute()
    if torchaudio_repair.repaired():
        module.__dict__["Parallel"] = functools.partial(module.__dict__["Parallel"], backend="threading")


def _load_verification_expert(module: ModuleType, execute: Execute) -> None:
    """Its attention mask goes to CUDA whatever the device; without CUDA it stays where it is."""
    execute()
    expert = module.__dict__["DownstreamExpert"]
    forward = expert.forward

    @functools.wraps(forward)
    def forward_anywhere(self: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.cuda.is_available():
            return forward(self, *args, **kwargs)
        cuda = torch.Tensor.cuda
        torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # type: ignore[method-assign]
        try:
            return forward(self, *args, **kwargs)
        finally:
            torch.Tensor.cuda = cuda  # type: ignore[method-assign]

    expert.forward = forward_anywhere


def _load_keyword_expert(module: ModuleType, execute: Execute) -> None:
    """It takes one small class from catalyst, which many an installer refuses today."""
    with stand_ins.standing_in(
        "catalyst.data.sampler", DistributedSamplerWrapper=stand_ins.DistributedSamplerWrapper
    ):
        execute()


REPAIRS: dict[str, Callable[[ModuleType, Execute], None]] = {
    "torchaudio": torchaudio_repair.load,
    "s3prl.hub": _load_hub,
    "s3prl.downstream.sv_voxceleb1.dataset": _load_verification_data,
    "s3prl.downstream.sv_voxceleb1.expert": _load_verification_expert,
    "s3prl.downstream.speech_commands.expert": _load_keyword_expert,
}
