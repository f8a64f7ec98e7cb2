"""The scores of each task, read from the folder of an experiment that was evaluated on its test split."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...errors import SuperbError
from .score import Metric, Score, Units, mean, mean_percent, percentage
from .table import read_table
from .verification import equal_error_rate, other_speakers, with_speakers

ACCURACY = Metric("accuracy", "%", True)
WER = Metric("WER", "%", False)
CER = Metric("CER", "%", False)
FRAME_ACCURACY = Metric("frame accuracy", "%", True)
PER = Metric("PER", "%", False)
EER = Metric("EER", "%", False)
PESQ = Metric("PESQ", "", True)
STOI = Metric("STOI", "%", True)
SI_SDR_IMPROVEMENT = Metric("SI-SDRi", "dB", True)

Reader = Callable[[Path], tuple[Score, ...]]


def accuracy(predicted: str, truth: str) -> Reader:
    """Return a reader of the share of lines on which two files of S3PRL's agree.

    Args:
        predicted: glob of the file with predictions; only one may match.
        truth: glob of the file with truths.
    """

    def read(folder: Path) -> tuple[Score, ...]:
        answers, truths = (_lines(folder, pattern) for pattern in (predicted, truth))
        if len(answers) != len(truths):
            raise SuperbError(
                f"{folder} holds {len(answers)} predictions and {len(truths)} truths; evaluate it again"
            )
        right = np.array([[a == b] for a, b in zip(answers, truths, strict=True)], dtype=np.float64)
        return (Score.of(ACCURACY, right, mean_percent),)

    return read


def transcripts(split: str) -> Reader:
    """Return a reader of word and character error rates from the transcripts that S3PRL writes.

    Args:
        split: that was evaluated, such as ``test-clean``.
    """

    def read(folder: Path) -> tuple[Score, ...]:
        said, meant = (_lines(folder, f"{split}-*LM-{kind}.ark") for kind in ("hyp", "ref"))
        hypotheses = {line.split(" ", 1)[0]: line.split(" ")[1:] for line in said}
        references = {line.split(" ", 1)[0]: line.split(" ")[1:] for line in meant}
        if set(hypotheses) != set(references):
            raise SuperbError(f"{folder} holds transcripts of different evaluations; evaluate it again")
        pairs = [(_words(hypotheses[name]), _words(words)) for name, words in references.items()]
        words = errors([(h, r) for h, r in pairs])
        characters = errors([(list(" ".join(h)), list(" ".join(r))) for h, r in pairs])
        return Score.of(WER, words, percentage), Score.of(CER, characters, percentage)

    return read


def phones(folder: Path) -> tuple[Score, ...]:
    """Read the frame accuracy and, from runs of equal frames, the phone error rate."""
    return (
        Score.of(FRAME_ACCURACY, read_table(folder, "test", "correct", "frames"), percentage),
        Score.of(PER, read_table(folder, "test", "phone_errors", "phones"), percentage),
    )


def verification(folder: Path) -> tuple[Score, ...]:
    """Read the equal error rate of the trials; its interval is over their speakers."""
    trials = read_table(folder, "test", "target", "score", "first", "second")
    return (Score.of(EER, with_speakers(trials), equal_error_rate, other_speakers),)


def enhancement(folder: Path) -> tuple[Score, ...]:
    """Read PESQ (wide band) and STOI; a clip whose reference PESQ finds no speech in counts for STOI only."""
    return (
        Score.of(PESQ, _known(read_table(folder, "test", "pesq")), mean),
        Score.of(STOI, _known(read_table(folder, "test", "stoi")), mean_percent),
    )


def separation(folder: Path) -> tuple[Score, ...]:
    """Read the improvement of SI-SDR over the mixture."""
    return (Score.of(SI_SDR_IMPROVEMENT, _known(read_table(folder, "test", "si_sdr")), mean),)


def errors(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Units:
    """Count edit errors.

    Args:
        pairs: of what was recognised and what was said, as tokens.

    Returns:
        ``[pairs, 2]``: insertions, deletions and substitutions together; tokens said.
    """
    from ..compat import require

    require("editdistance", "error rates are counted with it")
    distance = importlib.import_module("editdistance").eval
    counts = [(distance(list(heard), list(said)), len(said)) for heard, said in pairs]
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def _known(units: Units) -> Units:
    return units[np.isfinite(units).all(axis=1)]


def _words(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if token]


def _lines(folder: Path, pattern: str) -> list[str]:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        have = f"{len(found)} files" if found else "no file"
        raise SuperbError(
            f"{folder} has {have} {pattern}, so there is no score to read; evaluate the experiment with "
            f"`streaming-wavlm superb run -m evaluate -e {folder}`"
        )
    return found[0].read_text(encoding="utf-8").splitlines()
