"""What a task's config must say for its head to be causal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import SuperbError
from . import names

Section = dict[str, Any]


def widened(width: int) -> int:
    """Return the width of a recurrent layer that replaces a bidirectional one.

    Args:
        width: units of each direction.

    Returns:
        5/3 of it, as a multiple of 8: with two or three layers that keeps the number of parameters, and of
        multiplications, within a few percent.
    """
    return max(8, 8 * round(width * 5 / 24))


def _recognition(expert: Section) -> None:
    decoder = (expert.get("datarc") or {}).get("decoder_args") or {}
    if decoder.get("decoder_type") == "kenlm":
        raise SuperbError(
            "decoder_type 'kenlm' searches the whole utterance before it says a word: no "
            "head makes it causal; "
            "with --heads causal leave it out: "
            "-o \"config.downstream_expert.datarc.decoder_args.decoder_type='None'\""
        )
    _recurrent(_section(expert, "modelrc"))


def _slot_filling(expert: Section) -> None:
    _recurrent(_section(expert, "model"))


def _recurrent(model: Section) -> None:
    _allow("select", model.get("select"), "RNNs")
    layers = _section(model, "RNNs")
    if layers.get("bidirection"):
        layers["bidirection"] = False
        layers["dim"] = [widened(width) for width in layers["dim"]]


def _masking(expert: Section) -> None:
    model = _section(expert, "modelrc")
    _allow("model", model.get("model"), "SepRNN")
    if model.get("bidirectional"):
        model["bidirectional"] = False
        model["hidden_size"] = widened(model["hidden_size"])


def _pooling(expert: Section) -> None:
    model = _section(expert, "modelrc")
    _allow("select", model.get("select"), "UtteranceLevel")
    head = model["UtteranceLevel"] = dict(model.get("UtteranceLevel") or {})
    _allow("pooling", head.get("pooling", "MeanPooling"), "MeanPooling")
    if isinstance(head.get("pre_net"), dict):
        _allow("pre_net.select", head["pre_net"].get("select"), "FrameLevel")
    head["pooling"] = names.MEAN


def _verification(expert: Section) -> None:
    model = _section(expert, "modelrc")
    _allow("module", model.get("module"), "XVector")
    _allow("agg_module", model.get("agg_module"), "SP")
    layers = _section(model, "module_config")
    layers[names.XVECTOR] = layers.pop("XVector")
    model["module"], model["agg_module"] = names.XVECTOR, names.STATISTICS


def _diarization(expert: Section) -> None:
    expert["scorerc"] = {**(expert.get("scorerc") or {}), "median": 1}


def _frames(expert: Section) -> None:
    """The head is a linear layer per frame."""


REWRITES: dict[str, Callable[[Section], None]] = {
    "asr": _recognition,
    "ctc": _slot_filling,
    "phone_linear": _frames,
    "voxceleb1": _pooling,
    "speech_commands": _pooling,
    "fluent_commands": _pooling,
    "emotion": _pooling,
    "sv_voxceleb1": _verification,
    "diarization": _diarization,
    "enhancement_stft": _masking,
    "separation_stft": _masking,
}


def _section(parent: Section, key: str) -> Section:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise SuperbError(
            f"the config has no section {key!r}, in which --heads causal changes the task's head; "
            "start from the config shipped for the task"
        )
    return value


def _allow(key: str, given: object, allowed: str) -> None:
    if given != allowed:
        raise SuperbError(
            f"the config's {key} is {given!r}, of which there is no causal form; "
            f"--heads causal takes SUPERB's own, {key}: {allowed}"
        )
