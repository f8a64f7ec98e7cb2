"""What WavLM's training does to audio, so that a student hears through it: noise, other voices, gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import ConfigError

Wave = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]
NoiseSource = Callable[[int, np.random.Generator], Wave]

# Below this mean power (-90 dB) a recording is silence: there is nothing to set a ratio by.
_SILENCE = 1e-9


@dataclass(frozen=True)
class AugmentConfig:
    """How audio is corrupted.

    Attributes:
        noise_share: the share of recordings that get noise over their whole length.
        noise_snr_db: signal-to-noise ratio, drawn evenly from this range.
        overlap_share: the share of recordings, others than those with noise, that get part of another voice
            over less than half of their length, as in WavLM (arXiv 2110.13900). It is another recording of
            the same batch: one that is alone in its batch stays as it is.
        overlap_snr_db: ratio of the whole recording's power to that of the other voice where it speaks.
        gain_share: the share of recordings whose level changes.
        gain_db: by how much, drawn evenly from this range.
        clean_teacher: let the teachers hear the recordings as they were, at their own level: the student
            learns to hear through the noise, and the targets can be cached. Otherwise both hear the same.
    """

    noise_share: float = 0.1
    noise_snr_db: tuple[float, float] = (-5.0, 20.0)
    overlap_share: float = 0.1
    overlap_snr_db: tuple[float, float] = (-5.0, 5.0)
    gain_share: float = 1.0
    gain_db: tuple[float, float] = (-12.0, 6.0)
    clean_teacher: bool = False

    def __post_init__(self) -> None:
        for name in ("noise_share", "overlap_share", "gain_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.noise_share + self.overlap_share > 1:
            raise ConfigError(
                "a recording gets noise or another voice, never both: noise_share and overlap_share must add "
                f"up to 1 at most, got {self.noise_share} and {self.overlap_share}"
            )
        for name in ("noise_snr_db", "overlap_snr_db", "gain_db"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ConfigError(f"{name} must be a range from low to high, got {low} to {high}")


class Augment:
    """Corrupts batches; what it does is decided by the random generator it is handed, and by nothing else.

    Args:
        config: what to do.
        noise: gives stretches of noise; :func:`coloured_noise` when None.
    """

    def __init__(self, config: AugmentConfig, noise: NoiseSource | None = None) -> None:
        self._config = config
        self._noise = noise or coloured_noise

    def __call__(
        self, wavs: Wave, lengths: Lengths, rng: np.random.Generator, names: Sequence[str] | None = None
    ) -> Wave:
        """Return corrupted audio.

        A recording of silence gets neither noise nor another voice; one that would clip is turned down as a
        whole, which leaves the ratios as they are.

        Args:
            wavs: 16 kHz audio ``[batch, samples]``, zero past the end of a row; not changed.
            lengths: samples of each row, ``[batch]``.
            rng: the only source of chance.
            names: what the rows are: rows of one name are one recording, which is no other voice to itself.
                All are different when None.

        Returns:
            ``[batch, samples]``.
        """
        config = self._config
        result = np.zeros_like(wavs)
        kinds, levels = rng.random(len(wavs)), rng.random(len(wavs))
        for row, length in enumerate(lengths):
            wave = wavs[row, :length]
            if kinds[row] < config.noise_share:
                wave = mixed(wave, self._noise(int(length), rng), 0, rng.uniform(*config.noise_snr_db))
            elif kinds[row] < config.noise_share + config.overlap_share and len(wavs) > 1:
                other = _other(row, int(rng.integers(1, len(wavs))), names or range(len(wavs)))
                if other is not None:
                    voice, start = overlap(wavs[other, : lengths[other]], int(length), rng)
                    wave = mixed(wave, voice, start, rng.uniform(*config.overlap_snr_db))
            if levels[row] < config.gain_share:
                wave = wave * np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
            result[row, :length] = wave / max(1.0, float(np.abs(wave).max(initial=0.0)))
        return result


def _other(row: int, step: int, names: Sequence[object]) -> int | None:
    """The row ``step`` rows on, or the next that is another recording; None where there is none."""
    rows = ((row + step + further) % len(names) for further in range(len(names)))
    return next((other for other in rows if names[other] != names[row]), None)


def mixed(wave: Wave, added: Wave, start: int, snr_db: float) -> Wave:
    """Return ``wave`` with ``added`` on top, from sample ``start`` on.

    Args:
        wave: ``[samples]``.
        added: ``[added samples]``, at most ``samples - start``.
        start: where it begins.
        snr_db: ratio of the mean power of all of ``wave`` to that of what is added, in dB.
    """
    signal, noise = power(wave), power(added)
    if signal < _SILENCE or noise < _SILENCE:
        return wave
    scale = np.sqrt(signal / noise / 10 ** (snr_db / 10))
    result = wave.copy()
    result[start : start + len(added)] += np.float32(scale) * added
    return result


def overlap(voice: Wave, samples: int, rng: np.random.Generator) -> tuple[Wave, int]:
    """Draw a stretch of another voice, and where to put it into a recording.

    Args:
        voice: the other recording.
        samples: length of the recording it goes into.
        rng: the source of chance.

    Returns:
        The stretch, shorter than half the recording, and the sample where it is to begin.
    """
    longest = min(len(voice), max(1, (samples - 1) // 2))
    length = int(rng.integers(1, longest + 1))
    begin = int(rng.integers(len(voice) - length + 1))
    return voice[begin : begin + length], int(rng.integers(samples - length + 1))


def coloured_noise(samples: int, rng: np.random.Generator) -> Wave:
    """Return noise whose spectrum falls by 0 to 6 dB per octave, from white to brown.

    Args:
        samples: how much.
        rng: the source of chance.
    """
    slope = rng.uniform(0.0, 1.0)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -slope
    noise = np.fft.irfft(spectrum, samples)
    wave: Wave = (noise / (np.sqrt(np.mean(noise**2)) + 1e-12)).astype(np.float32)
    return wave


def power(wave: Wave) -> float:
    """Return the mean power of ``wave``; 0 where there is none."""
    return float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
