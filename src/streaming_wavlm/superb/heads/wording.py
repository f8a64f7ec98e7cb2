"""What each head hears, in a sentence for the report."""

from __future__ import annotations

from ...errors import SuperbError
from ...keys import nearest
from .choice import KINDS, Kind

_POOLED = (
    "Mean over the whole utterance: there is one decision, after its end.",
    "Mean over the frames so far: there is a decision at every frame, trained half at the utterance's end "
    "and half at moments before it, scored at its end.",
)
_MASKING = (
    "Bidirectional LSTMs: the mask of every frame hears the whole utterance.",
    "Unidirectional LSTMs, 5/3 as wide for about as many parameters: a mask hears the frames so far, and "
    "overlapping windows of 512 samples (32 ms) add half a window, 16 ms, to the upstream's latency.",
)
_SENTENCES: dict[str, tuple[str, str]] = {
    "asr": (
        "Bidirectional LSTMs: every character hears the whole utterance.",
        "Unidirectional LSTMs, 5/3 as wide for about as many parameters, and greedy CTC: "
        "a character hears the frames so far.",
    ),
    "ctc": (
        "Bidirectional LSTMs: every slot and character hears the whole utterance.",
        "Unidirectional LSTMs, 5/3 as wide for about as many parameters, and greedy CTC: "
        "a slot hears the frames so far.",
    ),
    "phone_linear": (
        "A linear layer per frame: causal as published.",
        "A linear layer per frame, which is the published head.",
    ),
    **dict.fromkeys(("voxceleb1", "speech_commands", "fluent_commands", "emotion"), _POOLED),
    "sv_voxceleb1": (
        "An x-vector whose layers hear seven frames ahead, with statistics over the "
        "whole utterance: there is one embedding, after its end.",
        "An x-vector padded on the left only, with statistics over the frames so far: "
        "there is an embedding at every frame, scored at the utterance's end; cutting silence holds sound "
        "back for up to 100 ms.",
    ),
    "diarization": (
        "A unidirectional LSTM, begun anew every chunk; a median over 11 frames in its "
        "scoring looks 5 frames ahead.",
        "The published unidirectional LSTM, begun anew every chunk, scored without a median.",
    ),
    "enhancement_stft": _MASKING,
    "separation_stft": _MASKING,
}


def describe(task: str, kind: Kind) -> str:
    """Return what the head of a task hears, as one sentence.

    Args:
        task: S3PRL's name of it.
        kind: of heads.

    Raises:
        SuperbError: the task or the kind is unknown.
    """
    if task not in _SENTENCES:
        raise SuperbError(
            f"nothing is known of the head of {task!r}{nearest(task, _SENTENCES)}; "
            f"there are {', '.join(_SENTENCES)}"
        )
    if kind not in KINDS:
        raise SuperbError(f"there are no heads {kind!r}; there are {', '.join(KINDS)}")
    return _SENTENCES[task][KINDS.index(kind)]
