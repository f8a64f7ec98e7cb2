"""A head that S3PRL trained, taken out of its experiment: layers, labels, and no pickle any more.

Only heads that can listen while somebody speaks are taken: those that pool frames into a mean, which then
runs over a window, and those whose frames hear nothing of the future.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import HeadError
from ..heads import Head, HeadConfig, is_head, load_head
from ..heads.config import Perceptron
from ..heads.folder import head_of
from ..presets import UPSTREAMS
from .experiments import load_experiment
from .trained_labels import labels_of

_POOLED = ("voxceleb1", "speech_commands", "emotion", "fluent_commands")
_IGNORED = ("best_score", "model.pooling.causal")
_POOLINGS = ("MeanPooling", "RunningMean")
# Twenty milliseconds each: a keyword is shorter than a sentence that tells a speaker.
_WINDOWS = {"speech_commands": 50, "voxceleb1": 100, "emotion": 150, "fluent_commands": 150}
Section = Mapping[str, Any]


def open_head(source: str) -> Head:
    """Return a head, whether it is a folder of our own, one of the package's, or an experiment of S3PRL's.

    Args:
        source: path of a head or of an experiment, or the name of a head that comes with the package.

    Raises:
        SuperbError: there is nothing of the kind, or it is damaged.
        HeadError: it is damaged, or cannot listen to a stream.
    """
    return load_head(source) if is_head(source) or not Path(source).exists() else trained_head(Path(source))


def trained_head(source: Path, name: str | None = None) -> Head:
    """Return the head of an experiment.

    Args:
        source: the experiment's folder, whose newest checkpoint is taken, or a checkpoint in it.
        name: for the head; the folder's when None.

    Raises:
        SuperbError: there is no experiment, or it is damaged.
        HeadError: it was trained on other features than ours or with the upstream, or its head cannot listen
            to a stream.
    """
    saved = load_experiment(source)
    arguments, config = vars(saved["Args"]), saved["Config"]
    task = str(arguments.get("downstream"))
    if task not in _READERS:
        raise HeadError(
            f"{source} was trained for {task}, whose head cannot listen to a stream; those of "
            f"{', '.join(_READERS)} can"
        )
    upstream = str(arguments.get("upstream"))
    if upstream not in UPSTREAMS:
        raise HeadError(
            f"{source} was trained on the features of {upstream}; train it with -u streaming_wavlm_400ms"
        )
    if arguments.get("upstream_trainable") or saved.get("Upstream"):
        raise HeadError(
            f"{source} trained the upstream along with the head (-f), so that its features are no longer the "
            "checkpoint's; train it without -f"
        )
    mix = saved.get("Featurizer") or {}
    tensors = {key: value for key, value in dict(saved["Downstream"]).items() if key not in _IGNORED}
    slots = labels_of(task, config, tensors)
    common = {
        "name": name or (source if source.is_dir() else source.parent).resolve().name,
        "task": task,
        "slots": slots,
        "layers": len(mix["weights"]) if "weights" in mix else 0,
        "layer": _layer(arguments, "weights" in mix),
        "normalize": bool(arguments.get("upstream_feature_normalize")),
        "chunk_ms": UPSTREAMS[upstream],
    }
    try:
        made, weights = _READERS[task](task, config["downstream_expert"], tensors, common)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise HeadError(
            f"{source} holds no head of {task} as S3PRL builds it: {type(error).__name__}: {error}"
        ) from error
    if "weights" in mix:
        weights["mix.weights"] = mix["weights"]
    return head_of(made, weights, str(source))


def _layer(arguments: Section, mixed: bool) -> int:
    """Which hidden state it hears if it hears one."""
    chosen = arguments.get("upstream_layer_selection")
    return chosen if isinstance(chosen, int) and not mixed else -1


def _pooled(
    task: str, expert: Section, tensors: Mapping[str, Tensor], common: dict[str, Any]
) -> tuple[HeadConfig, dict[str, Tensor]]:
    model = expert["modelrc"]
    shape = model.get(model.get("select")) or {}
    pooling = shape.get("pooling", "MeanPooling")
    if model.get("select") != "UtteranceLevel" or pooling not in _POOLINGS:
        raise HeadError(
            f"the head of {task} is {model.get('select')} with {pooling}; a mean over a running window is "
            f"made of UtteranceLevel with {' or '.join(_POOLINGS)}"
        )
    names = {"projector": "projector", "model.post_net": "after", "model.pre_net": "before"}
    weights = {_renamed(key, names): value for key, value in tensors.items()}
    config = HeadConfig(
        kind="pooled",
        dim=tensors["projector.weight"].shape[1],
        projector=tensors["projector.weight"].shape[0],
        before=_perceptron(shape["pre_net"]) if isinstance(shape.get("pre_net"), dict) else None,
        after=_perceptron(shape.get("post_net") or {"select": "FrameLevel"}),
        window_frames=_WINDOWS[task],
        **common,
    )
    return config, weights


def _phones(
    task: str, expert: Section, tensors: Mapping[str, Tensor], common: dict[str, Any]
) -> tuple[HeadConfig, dict[str, Tensor]]:
    weights = {_renamed(key, {"model.linear": "linear"}): value for key, value in tensors.items()}
    return HeadConfig(kind="frames", dim=weights["linear.weight"].shape[1], **common), weights


def _diarization(
    task: str, expert: Section, tensors: Mapping[str, Tensor], common: dict[str, Any]
) -> tuple[HeadConfig, dict[str, Tensor]]:
    model, data = expert["modelrc"], expert["datarc"]
    names = {"model.rnn": "rnn", "model.linear": "linear"}
    weights = {_renamed(key, names): value for key, value in tensors.items()}
    depth = int(model["rnn_layers"])
    if depth and int(data.get("label_delay", 0)):
        raise HeadError(f"the head of {task} says what was {data['label_delay']} frames ago; train it with 0")
    config = HeadConfig(
        kind="activity",
        dim=weights["rnn.weight_ih_l0" if depth else "linear.weight"].shape[1],
        recurrent=(depth, int(model["hidden_size"]) if depth else 0),
        restart_frames=int(data["chunk_size"]) if depth else 0,
        **common,
    )
    return config, weights


def _perceptron(section: Section) -> Perceptron:
    if section.get("select") != "FrameLevel":
        raise HeadError(f"the layers of a pooled head are FrameLevel, got {section.get('select')!r:.40}")
    shape = section.get("FrameLevel") or {}
    return Perceptron(tuple(shape.get("hiddens") or ()), str(shape.get("activation", "ReLU")))


def _renamed(key: str, names: Mapping[str, str]) -> str:
    for before, after in names.items():
        if key.startswith(f"{before}."):
            return f"{after}.{key.removeprefix(before + '.')}"
    return key


_READERS: dict[
    str,
    Callable[[str, Section, Mapping[str, Tensor], dict[str, Any]], tuple[HeadConfig, dict[str, Tensor]]],
] = {**dict.fromkeys(_POOLED, _pooled), "phone_linear": _phones, "diarization": _diarization}
