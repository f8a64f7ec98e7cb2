"""The diarization error rate, scored from what S3PRL's expert predicts for each frame."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SuperbError
from ...files import replacing
from ..compat import require
from ..experiments import read_config
from ..heads import median_frames
from .score import Metric, Score, percentage

DER = Metric("DER", "%", False)
DER_COLLAR = Metric("DER, 0.25 s collar", "%", False)
# S3PRL tries five thresholds, with and without a median over 11 frames, and keeps the best test score: one
# threshold tunes nothing.
THRESHOLD = 0.5
COLLAR = 0.25
_RATE = 16000
Turn = tuple[str, float, float]


def diarization(folder: Path) -> tuple[Score, ...]:
    """Score the predictions of an evaluation with pyannote.metrics, overlapping speech included.

    Args:
        folder: of the experiment; the hypothesis goes to ``scoring/hypothesis.rttm`` in it.

    Returns:
        The error rate without a collar, as S3PRL's own script scores it, and with 0.25 s left out on each
        side of every boundary of the reference; a unit is a recording.

    Raises:
        SuperbError: there are no predictions, or no reference.
    """
    config = read_config(folder)
    data = config["downstream_expert"]["loaderrc"]["test_dir"]
    reference = read_turns(Path(data))
    shift = int((folder / "frame_shift").read_text().split()[0])
    ends = _durations(Path(data) / "reco2dur")
    files = sorted((folder / "scoring" / "predictions").glob("*.h5"))
    if not files:
        raise SuperbError(
            f"{folder} holds no predictions; evaluate the experiment with save_predictions: true"
        )
    median = median_frames(config)
    hypothesis = {
        path.stem: turns(_probabilities(path), shift / _RATE, median, ends.get(path.stem)) for path in files
    }
    _write_rttm(folder / "scoring" / "hypothesis.rttm", hypothesis)
    if set(ends) - set(hypothesis):
        raise SuperbError(
            f"{folder} holds predictions of {len(files)} recordings of {len(ends)}; evaluate it again"
        )
    missing = sorted(set(hypothesis) - set(reference))
    if missing:
        raise SuperbError(f"{data} says nothing of who speaks in {missing[0]}; its rttm or segments must")
    return tuple(
        Score.of(metric, np.array([_errors(reference[name], said, collar, ends.get(name))
                                   for name, said in hypothesis.items()]), percentage)
        for metric, collar in ((DER, 0.0), (DER_COLLAR, COLLAR))
    )  # fmt: skip


def turns(
    probabilities: NDArray[np.floating[Any]], seconds: float, median: int, end: float | None = None
) -> list[Turn]:
    """Turn probabilities into who speaks when.

    Args:
        probabilities: ``[frames, speakers]``.
        seconds: length of a frame.
        median: frames to take a median over, an odd number; 1 takes each decision as it is.
        end: of the recording; frames beyond it are padding.

    Returns:
        The speaker, the begin and the end in seconds of each turn.
    """
    require("scipy", "the decisions of diarization are smoothed with it")
    medfilt = importlib.import_module("scipy.signal").medfilt
    active = (probabilities > THRESHOLD).astype(np.float64)
    if end is not None:
        active = active[: round(end / seconds)]
    found: list[Turn] = []
    for speaker, frames in enumerate(active.T):
        smooth = np.pad(medfilt(frames, median), 1)
        changes = np.flatnonzero(np.diff(smooth))
        for begin, stop in zip(changes[::2], changes[1::2], strict=True):
            found.append((str(speaker), float(begin * seconds), float(stop * seconds)))
    return found


def read_turns(folder: Path) -> dict[str, list[Turn]]:
    """Read who speaks when in each recording, from ``rttm`` if there is one, else from ``segments``."""
    found: dict[str, list[Turn]] = {}
    rttm = folder / "rttm"
    try:
        if rttm.is_file():
            for line in rttm.read_text(encoding="utf-8").splitlines():
                fields = line.split()
                if fields and fields[0] == "SPEAKER":
                    begin, length = float(fields[3]), float(fields[4])
                    found.setdefault(fields[1], []).append((fields[7], begin, begin + length))
            return found
        speakers = dict(line.split(None, 1) for line in (folder / "utt2spk").read_text().splitlines() if line)
        for line in (folder / "segments").read_text(encoding="utf-8").splitlines():
            utterance, recording, first, last = line.split()
            found.setdefault(recording, []).append((speakers[utterance].strip(), float(first), float(last)))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise SuperbError(
            f"the reference in {folder} cannot be read ({error}); it takes rttm, or segments and utt2spk"
        ) from error
    return found


def _probabilities(path: Path) -> NDArray[np.floating[Any]]:
    require("h5py", "S3PRL's diarization writes its predictions with it")
    with importlib.import_module("h5py").File(path, "r") as file:
        values: NDArray[np.floating[Any]] = file["T_hat"][:]
    return values


def _durations(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    pairs = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name: float(seconds) for name, seconds in pairs}


def _errors(
    reference: list[Turn], hypothesis: list[Turn], collar: float, end: float | None
) -> tuple[float, float]:
    """Return the seconds of speech that are wrong, and of all speech in the reference."""
    require("pyannote.metrics", "diarization is scored with it")
    core = importlib.import_module("pyannote.core")

    def annotation(said: list[Turn]) -> Any:
        made = core.Annotation()
        for i, (speaker, begin, stop) in enumerate(said):
            made[core.Segment(begin, stop), i] = speaker
        # Two turns of one speaker that touch are one.
        return made.support()

    # pyannote's collar is centred on a boundary; the usual one is as long on either side of it.
    metric = importlib.import_module("pyannote.metrics.diarization").DiarizationErrorRate(
        collar=2 * collar, skip_overlap=False
    )
    last = end or max((stop for _, _, stop in [*reference, *hypothesis]), default=0.0)
    parts = metric(
        annotation(reference),
        annotation(hypothesis),
        uem=core.Timeline([core.Segment(0, last)]),
        detailed=True,
    )
    wrong = parts["missed detection"] + parts["false alarm"] + parts["confusion"]
    return float(wrong), float(parts["total"])


def _write_rttm(path: Path, hypothesis: dict[str, list[Turn]]) -> None:
    lines = [
        f"SPEAKER {name} 1 {begin:.3f} {stop - begin:.3f} <NA> <NA> {speaker} <NA> <NA>"
        for name, said in sorted(hypothesis.items())
        for speaker, begin, stop in said
    ]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
