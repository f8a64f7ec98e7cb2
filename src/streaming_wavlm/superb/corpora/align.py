"""When each phone of a known sequence is said: a monophone hidden Markov model, trained from nothing.

Each phone has three states in a row of at least 10 ms, each a Gaussian with a diagonal covariance over
cepstra. Training starts with the phones spread evenly over what is loud, and goes on between finding the best
path of every utterance (Viterbi) and estimating the Gaussians again from it. Silence may come before, between
and after words. There is no chance in it.

What comes out is no truth: a human would put boundaries elsewhere, by some tens of milliseconds, and a wrong
transcript is followed all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cepstra import Features
from .phones import CLASSES, SILENCE

_STATES = 3
_ROUNDS = 10
# Of features with variance 1: a state seen a few times only is not to be too sure.
_LEAST_VARIANCE = 0.05
_FEWEST_FRAMES = 5
_NEVER = -1e30

Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sample:
    """An utterance to align.

    Attributes:
        features: ``[frames, dimensions]``, normalised to mean 0 and variance 1.
        active: which frames are loud, ``[frames]``.
        words: their phones.
    """

    features: Features
    active: Flags
    words: Words

    @property
    def fits(self) -> bool:
        """Whether there is time for all phones."""
        return len(self.features) >= _STATES * sum(map(len, self.words))


@dataclass(frozen=True)
class _Graph:
    """The states an utterance may go through.

    Attributes:
        states: the Gaussian of each, ``[states]``; three for each phone and for each silence.
        skips: whether one may come to a state past the silence before it, ``[states]``.
    """

    states: Labels
    skips: Flags


class Aligner:
    """Finds phones in time.

    Args:
        samples: to train on; those that do not :attr:`~Sample.fits` are left out.
        rounds: of training.
    """

    def __init__(self, samples: Sequence[Sample], rounds: int = _ROUNDS) -> None:
        samples = [sample for sample in samples if sample.fits]
        dimensions = samples[0].features.shape[1]
        self._means = np.zeros((len(CLASSES) * _STATES, dimensions))
        self._variances = np.ones_like(self._means)
        self._estimate(samples, [_spread(sample) for sample in samples])
        for _ in range(rounds):
            self._estimate(samples, [self._states(sample) for sample in samples])

    def labels(self, sample: Sample) -> Labels:
        """Return the class of each frame, ``[frames]``; the sample must fit."""
        return self._states(sample) // _STATES

    def _estimate(self, samples: Sequence[Sample], paths: Sequence[Labels]) -> None:
        features = np.concatenate([sample.features for sample in samples])
        states = np.concatenate(paths)
        counts = np.bincount(states, minlength=len(self._means)).astype(np.float64)
        enough = counts >= _FEWEST_FRAMES
        weight = np.maximum(counts, 1)[:, None]
        # [states, frames] would be large; the sums are made dimension by dimension.
        sums, squares = (
            np.stack([np.bincount(states, column, len(counts)) for column in values.T], axis=1)
            for values in (features, features**2)
        )
        means = sums / weight
        self._means[enough] = means[enough]
        self._variances[enough] = np.maximum(squares / weight - means**2, _LEAST_VARIANCE)[enough]

    def _states(self, sample: Sample) -> Labels:
        """Return the Gaussian of each frame on the best path."""
        graph = _graph(sample.words)
        path = _best_path(self._scores(sample.features)[:, graph.states], graph.skips)
        return graph.states[path]

    def _scores(self, features: Features) -> Features:
        """Return the logarithm of each Gaussian's density, up to a constant, ``[frames, states]``."""
        precision = 1 / self._variances
        constant = np.log(self._variances).sum(1) + (self._means**2 * precision).sum(1)
        scores: Features = features @ (self._means * precision).T - (features**2 @ precision.T + constant) / 2
        return scores


def _graph(words: Words) -> _Graph:
    states: list[int] = []
    skips: list[bool] = []
    units: list[tuple[str, ...]] = [(SILENCE,)]
    for word in words:
        units += [word, (SILENCE,)]
    for unit in units:
        for place, phone in enumerate(unit):
            states += [CLASSES[phone] * _STATES + state for state in range(_STATES)]
            # The first phone of a word may follow the word before at once.
            skips += [place == 0 and phone != SILENCE, False, False]
    return _Graph(np.array(states), np.array(skips))


def _best_path(scores: Features, skips: Flags) -> Labels:
    """Return the best way through the states in order, silences being optional, ``[frames]``."""
    frames, states = scores.shape
    came = np.zeros((frames, states), dtype=np.int64)
    best = np.full(states, _NEVER)
    best[[0, _STATES]] = scores[0, [0, _STATES]]
    from_last, from_before = np.full(states, _NEVER), np.full(states, _NEVER)
    steps = np.array([0, 1, _STATES + 1])
    for frame in range(1, frames):
        from_last[1:] = best[:-1]
        from_before[_STATES + 1 :] = np.where(skips[_STATES + 1 :], best[: -_STATES - 1], _NEVER)
        options = np.stack([best, from_last, from_before])
        choice = options.argmax(0)
        came[frame] = steps[choice]
        best = options.max(0) + scores[frame]
    path = np.zeros(frames, dtype=np.int64)
    # The end of the last word, or of the silence after it.
    path[-1] = max(states - 1, states - 1 - _STATES, key=lambda state: best[state])
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = path[frame] - came[frame, path[frame]]
    return path


def _spread(sample: Sample) -> Labels:
    """Return the states that the phones have when they are spread evenly over the loud part."""
    phones = [phone for word in sample.words for phone in word]
    states = np.array([CLASSES[phone] * _STATES + state for phone in phones for state in range(_STATES)])
    loud = np.flatnonzero(sample.active[: len(sample.features)])
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) >= len(states) else (0, len(sample.features))
    result = np.full(len(sample.features), CLASSES[SILENCE] * _STATES)
    result[:] += np.arange(len(result)) % _STATES
    places = np.linspace(0, len(states), last - first, endpoint=False).astype(np.int64)
    result[first:last] = states[places]
    return result
