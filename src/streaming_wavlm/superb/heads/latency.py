"""What a task's head adds to the algorithmic latency of the upstream below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import SuperbError
from ...keys import nearest
from .choice import Kind, kind_of

# S3PRL's scoring of diarization smooths with a median over so many frames, or not at all.
PUBLISHED_MEDIAN = 11
# The silence effect of S3PRL's verification data holds sound back until it has lasted this long.
_SILENCE_MS = 100.0
_POOLED = ("voxceleb1", "speech_commands", "fluent_commands", "emotion")


def latency_ms(task: str, kind: Kind, config: Mapping[str, Any], *, frame_ms: float = 20.0) -> float | None:
    """Return what the head adds to the upstream's algorithmic latency.

    That is how much longer a decision (for enhancement and separation: a sample) may have to wait than the
    features of its own time.

    Args:
        task: S3PRL's name of it.
        kind: of heads.
        config: of the experiment, before or after ``use``.
        frame_ms: time per frame of the upstream, 20 for ours, 10 for ``fbank``.

    Returns:
        Milliseconds; None where nothing is decided before the utterance is over.

    Raises:
        SuperbError: the task is unknown.
    """
    if task not in _LATENCIES:
        raise SuperbError(
            f"nothing is known of the head of {task!r}{nearest(task, _LATENCIES)}; "
            f"there are {', '.join(_LATENCIES)}"
        )
    return _LATENCIES[task](kind, config.get("downstream_expert") or {}, frame_ms)


def median_frames(config: Mapping[str, Any], kind: Kind | None = None) -> int:
    """Return over how many frames the scoring of diarization takes a median; 1 is none.

    Args:
        config: of the experiment; ``downstream_expert.scorerc.median`` says it.
        kind: of heads, for a config that says nothing of either.
    """
    scoring = (config.get("downstream_expert") or {}).get("scorerc") or {}
    usual = 1 if (kind or kind_of(config)) == "causal" else PUBLISHED_MEDIAN
    return int(scoring.get("median", usual))


def _recognition(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    if kind == "published":
        return None
    model = expert.get("modelrc") or expert.get("model") or {}
    layers = model.get("RNNs") or {}
    total = layers.get("total_rate", 320)
    joined = 1 if total == -1 else max(1, round(total / (16 * frame_ms)))
    return (joined - 1) * frame_ms if layers.get("sample_style") == "concat" else 0.0


def _whole_utterance(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    return None if kind == "published" else 0.0


def _verification(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    return None if kind == "published" else _SILENCE_MS


def _diarization(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    return median_frames({"downstream_expert": expert}, kind) // 2 * frame_ms


def _frames(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    return 0.0


def _masking(kind: Kind, expert: Mapping[str, Any], frame_ms: float) -> float | None:
    """A sample is whole once the last window over it is masked, and that waits for the frame's features."""
    if kind == "published":
        return None
    data = expert.get("datarc") or {}
    window: float = 1000 * data.get("win_length", 512) / data.get("rate", 16000)
    if not data.get("center", True):
        return max(0.0, window - frame_ms)
    # Half a window lies before the frame's own time; the half after it is there before its features are.
    return window / 2 + max(0.0, window / 2 - frame_ms)


_LATENCIES: dict[str, Callable[[Kind, Mapping[str, Any], float], float | None]] = {
    "asr": _recognition,
    "ctc": _recognition,
    "phone_linear": _frames,
    **dict.fromkeys(_POOLED, _whole_utterance),
    "sv_voxceleb1": _verification,
    "diarization": _diarization,
    "enhancement_stft": _masking,
    "separation_stft": _masking,
}
