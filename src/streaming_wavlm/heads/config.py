"""What a head is, beside its weights; read from JSON that may be anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, cast, get_args

from ..errors import HeadError

FORMAT = 1
Kind = Literal["pooled", "frames", "activity"]
ACTIVATIONS = ("ReLU", "Tanh", "GELU", "Sigmoid", "LeakyReLU")
# Bounds of what a file may ask for.
MOST_LABELS = 10_000
MOST_SLOTS = 8
MOST_SPEAKERS = 8
WIDEST = 16_384
LONGEST_WINDOW = 3_000


@dataclass(frozen=True)
class Slot:
    """One question that a head answers.

    Attributes:
        name: what is asked for, such as ``"keyword"``.
        labels: the answers, in the order of the outputs.
    """

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Perceptron:
    """Linear layers with an activation between them.

    Attributes:
        hidden: widths of the hidden layers.
        activation: of ``torch.nn``.
    """

    hidden: tuple[int, ...] = ()
    activation: str = "ReLU"


@dataclass(frozen=True)
class HeadConfig:
    """The architecture and the labels of a head.

    Attributes:
        name: by which clients ask for it.
        task: S3PRL's name of what it was trained for, such as ``"speech_commands"``.
        kind: ``"pooled"``: classes, from the mean over a running window; ``"frames"``: a class for each
            frame; ``"activity"``: for each frame, whether each of some speakers speaks.
        slots: its questions; those of a pooled head share its outputs, the other kinds have one.
        dim: width of the features.
        layers: hidden states that are summed with learned weights; 0 if the head hears one of them.
        layer: which one that is, from -1, the last.
        normalize: whether each hidden state is normalised to zero mean and unit variance before.
        projector: width of the linear layer before the pooling; none when 0.
        before: layers between projector and pooling, if there are any.
        after: layers from the pooled features to the classes.
        recurrent: layers and width of an LSTM (``"activity"``); none when the first is 0.
        restart_frames: frames after which the LSTM begins anew, as in its training; never when 0.
        window_frames: frames that are pooled over.
        chunk_ms: chunk size of the features it was trained on; None if it is not known.
        weights: tells the model whose features it was trained on from others; see ``StreamingWavLM.mark``.
    """

    name: str
    task: str
    kind: Kind
    slots: tuple[Slot, ...]
    dim: int
    layers: int
    layer: int = -1
    normalize: bool = False
    projector: int = 0
    before: Perceptron | None = None
    after: Perceptron = field(default_factory=Perceptron)
    recurrent: tuple[int, int] = (0, 0)
    restart_frames: int = 0
    window_frames: int = 100
    chunk_ms: int | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        _require(
            0 < len(self.name) <= 64 and self.name.isprintable(), "name", self.name, "1 to 64 characters"
        )
        _require(self.kind in get_args(Kind), "kind", self.kind, " or ".join(get_args(Kind)))
        most_slots = MOST_SLOTS if self.kind == "pooled" else 1
        _require(0 < len(self.slots) <= most_slots, "slots", len(self.slots), f"1 to {most_slots} of them")
        most = MOST_SPEAKERS if self.kind == "activity" else MOST_LABELS
        _require(
            all(0 < len(slot.labels) <= most for slot in self.slots), "labels", self.outputs, f"1 to {most}"
        )
        _require(0 < self.dim <= WIDEST, "dim", self.dim, f"1 to {WIDEST}")
        _require(0 <= self.layers <= 256, "layers", self.layers, "0 to 256")
        _require(
            isinstance(self.layer, int) and -256 <= self.layer < 256,
            "layer",
            self.layer,
            "-256 to 255, a number",
        )
        _require(0 <= self.projector <= WIDEST, "projector", self.projector, f"0 to {WIDEST}")
        for layers in (self.before or Perceptron(), self.after):
            _require(
                layers.activation in ACTIVATIONS, "activation", layers.activation, ", ".join(ACTIVATIONS)
            )
            fit = len(layers.hidden) <= 16 and all(0 < width <= WIDEST for width in layers.hidden)
            _require(fit, "hidden", layers.hidden, f"at most 16 widths up to {WIDEST}")
        depth, width = self.recurrent
        _require(0 <= depth <= 16 and 0 <= width <= WIDEST, "recurrent", self.recurrent, "layers and width")
        _require(
            0 < self.window_frames <= LONGEST_WINDOW,
            "window_frames",
            self.window_frames,
            f"1 to {LONGEST_WINDOW}",
        )
        _require(0 <= self.restart_frames <= 10**6, "restart_frames", self.restart_frames, "0 to 1000000")

    @property
    def outputs(self) -> int:
        """How many numbers it gives at a time."""
        return sum(len(slot.labels) for slot in self.slots)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, values: Any) -> HeadConfig:
        """Read a description.

        Raises:
            HeadError: it is of another version, lacks a field, or one is unknown or out of bounds.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, Mapping) else type(values).__name__
            raise HeadError(f"a head is described by JSON with format: {FORMAT}, got {found!r:.40}")
        given = {key: value for key, value in values.items() if key != "format"}
        unknown = sorted(set(given) - {one.name for one in fields(cls)})
        if unknown:
            raise HeadError(f"a head has no field {unknown[0]!r:.60}; this version reads format {FORMAT}")
        try:
            given["slots"] = tuple(
                Slot(str(slot["name"]), tuple(map(str, slot["labels"]))) for slot in given["slots"]
            )
            given["recurrent"] = tuple(given.get("recurrent", (0, 0)))
            for key in ("before", "after"):
                if isinstance(given.get(key), Mapping):
                    given[key] = _perceptron(given[key])
            return cls(**cast("dict[str, Any]", given))
        except (KeyError, TypeError, ValueError) as error:
            raise HeadError(
                f"the description of a head is damaged: {type(error).__name__}: {error}"
            ) from error


def _perceptron(values: Mapping[str, Any]) -> Perceptron:
    return Perceptron(tuple(values["hidden"]), str(values["activation"]))


def _require(fits: bool, name: str, given: object, allowed: str) -> None:
    if not fits:
        raise HeadError(f"the {name} of a head must be {allowed}, got {given!r:.80}")
