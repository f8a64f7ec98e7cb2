"""Which recordings make up which batch: a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streaming_wavlm.errors import ConfigError

Indices = npt.NDArray[np.int64]

# What the random numbers of a run are for; part of every seed, so that no two uses share a sequence.
EPOCH, BATCH, CHUNK = 1, 2, 3
# Within a bucket, by how much lengths are disturbed before they are sorted: the more, the more new company a
# recording meets, and the more padding there is.
_MIXING = 0.1


@dataclass(frozen=True)
class _Bucket:
    """Recordings of similar length, and how many batches an epoch makes of them."""

    whole: Indices  # each as often as the whole part of its repeats
    partial: Indices  # those with a fraction of a repeat
    chances: npt.NDArray[np.float64]
    drawn: int  # how many of ``partial`` an epoch sees
    batches: int


class BatchPlan:
    """The batches of every epoch.

    Recordings of similar length share a batch. Every epoch has the same number of steps, and every recording
    occurs in it as often as it should, or once more where that fills a batch of some process. Nothing is
    remembered from step to step, so a run can go on from any of them.

    Args:
        samples: length of each recording, int64 ``[recordings]``.
        repeats: how often each occurs in an epoch, float ``[recordings]``.
        batch_samples: the most samples of one batch, padding included.
        buckets: groups of similar length; fewer are used where they would not fill their batches.
        seed: of the order.
        group: batches of one step: processes times accumulated batches.

    Raises:
        ConfigError: a recording is longer than a batch, or an epoch has no recording.
    """

    def __init__(
        self,
        samples: Indices,
        repeats: npt.NDArray[np.float64],
        *,
        batch_samples: int,
        buckets: int = 20,
        seed: int = 0,
        group: int = 1,
    ) -> None:
        if len(samples) and int(samples.max()) > batch_samples:
            raise ConfigError(
                f"a batch holds {batch_samples} samples and a recording has {int(samples.max())}; "
                "raise batch_seconds or lower max_seconds"
            )
        self._samples = samples
        self._seed = seed
        self._group = group
        audio = samples * repeats
        # Two steps or more per bucket: else the batches are far from full.
        buckets = int(np.clip(audio.sum() // (2 * batch_samples * group), 1, buckets))
        order = np.argsort(samples, kind="stable")
        share = np.cumsum(audio[order]) - audio[order] / 2
        parts = np.minimum(share * buckets // max(share[-1], 1), buckets - 1) if len(share) else share
        self._buckets = [
            self._bucket(order[parts == part], samples, repeats, batch_samples)
            for part in range(buckets)
            if (parts == part).any()
        ]
        if not self.steps_per_epoch:
            raise ConfigError(
                f"an epoch has no recording: there are {len(samples)}, and their repeats add up to "
                f"{repeats.sum():g}; raise repeat until an epoch has one at least"
            )
        self._epoch: tuple[int, list[Indices]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        return sum(bucket.batches for bucket in self._buckets) // self._group

    def batch(self, step: int, place: int = 0) -> Indices:
        """Return the recordings of one batch.

        Args:
            step: the step, from 0 on through all epochs.
            place: which batch of the step, from 0 to ``group`` - 1.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        current = self._epoch
        if current is None or current[0] != epoch:
            self._epoch = current = (epoch, self._batches(epoch))
        return current[1][position * self._group + place]

    def _bucket(
        self, members: Indices, samples: Indices, repeats: npt.NDArray[np.float64], batch_samples: int
    ) -> _Bucket:
        size = max(1, batch_samples // int(samples[members].max()))
        times = np.floor(repeats[members]).astype(np.int64)
        fraction = repeats[members] - times
        drawn = round(float(fraction.sum()))
        count = int(times.sum()) + drawn
        steps = -(-count // (size * self._group))
        some = fraction > 0
        chances = fraction[some] / fraction.sum() if some.any() else fraction[some]
        return _Bucket(np.repeat(members, times), members[some], chances, drawn, steps * self._group)

    def _batches(self, epoch: int) -> list[Indices]:
        """All batches of an epoch; those of one step stand together and are of one bucket."""
        rng = np.random.default_rng([self._seed, EPOCH, epoch])
        steps: list[list[Indices]] = []
        for bucket in self._buckets:
            if not bucket.batches:
                continue
            members = bucket.whole
            if bucket.drawn:
                drawn = rng.choice(bucket.partial, bucket.drawn, replace=False, p=bucket.chances)
                members = np.concatenate([members, drawn])
            members = rng.permutation(members)
            members = np.resize(members, max(len(members), bucket.batches))
            key = self._samples[members] * rng.uniform(1 - _MIXING, 1 + _MIXING, len(members))
            members = members[np.argsort(key, kind="stable")]
            batches = np.array_split(members, bucket.batches)
            steps += [batches[i : i + self._group] for i in range(0, len(batches), self._group)]
        return [batch for i in rng.permutation(len(steps)) for batch in steps[i]]
