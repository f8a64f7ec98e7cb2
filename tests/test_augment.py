from __future__ import annotations

import numpy as np
import pytest

from lab import voice
from streaming_wavlm.augment import Augment, AugmentConfig, coloured_noise, mixed, overlap, power
from streaming_wavlm.errors import ConfigError

LENGTHS = np.array([8000, 12000, 16000, 5000])


def batch() -> np.ndarray:
    wavs = np.zeros((4, 16000), dtype=np.float32)
    for row, length in enumerate(LENGTHS):
        wavs[row, :length] = 0.3 * voice(int(length), row)
    return wavs


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def config(**changes: object) -> AugmentConfig:
    return AugmentConfig(**{"noise_share": 0, "overlap_share": 0, "gain_share": 0, **changes})


def db(ratio: float) -> float:
    return 10 * np.log10(ratio)


def test_nothing_asked_changes_nothing() -> None:
    np.testing.assert_array_equal(Augment(config())(batch(), LENGTHS, rng()), batch())


def test_the_same_generator_gives_the_same_and_another_gives_another() -> None:
    augment = Augment(AugmentConfig(noise_share=0.5, overlap_share=0.5))
    before = batch()
    one, same, other = (augment(before, LENGTHS, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(before, batch())


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_has_the_ratio_that_was_asked(snr: float) -> None:
    augment = Augment(config(noise_share=1.0, noise_snr_db=(snr, snr)))
    clean = batch() * 0.1  # quiet enough that nothing would clip
    noisy = augment(clean, LENGTHS, rng())
    for row, length in enumerate(LENGTHS):
        added = noisy[row, :length] - clean[row, :length]
        assert db(power(clean[row, :length]) / power(added)) == pytest.approx(snr, abs=0.05)


@pytest.mark.parametrize("snr", [-5.0, 5.0])
def test_another_voice_has_the_ratio_that_was_asked_and_takes_less_than_half(snr: float) -> None:
    augment = Augment(config(overlap_share=1.0, overlap_snr_db=(snr, snr)))
    clean = batch() * 0.1
    mixture = augment(clean, LENGTHS, rng(5))
    for row, length in enumerate(LENGTHS):
        added = mixture[row, :length] - clean[row, :length]
        where = np.flatnonzero(added)
        assert 0 < len(where) < length / 2
        assert where[-1] - where[0] + 1 < length / 2
        spoken = added[where[0] : where[-1] + 1]
        assert db(power(clean[row, :length]) / power(spoken)) == pytest.approx(snr, abs=0.3)


def test_the_other_voice_is_another_recording_of_the_batch() -> None:
    wavs = np.stack([np.full(1000, value, dtype=np.float32) for value in (0.01, 0.02)])
    lengths = np.array([1000, 1000])
    result = Augment(config(overlap_share=1.0, overlap_snr_db=(0.0, 0.0)))(wavs, lengths, rng())
    assert set(np.round(np.unique(result[0]), 4)) == {np.float32(0.01), np.float32(0.02)}
    alone = Augment(config(overlap_share=1.0))(wavs[:1], lengths[:1], rng())
    np.testing.assert_array_equal(alone, wavs[:1])


def test_a_recording_that_comes_twice_is_no_other_voice_to_itself() -> None:
    wavs = np.stack([np.full(1000, value, dtype=np.float32) for value in (0.01, -0.02, 0.01)])
    lengths = np.full(3, 1000)
    augment = Augment(config(overlap_share=1.0, overlap_snr_db=(0.0, 0.0)))
    for seed in range(20):
        result = augment(wavs, lengths, rng(seed), ["a", "b", "a"])
        for row in (0, 2):  # with the other it is 0 in places, with itself twice as loud
            assert set(np.round(np.unique(result[row]), 4)) == {np.float32(0), np.float32(0.01)}
    same = augment(wavs[::2], lengths[:2], rng(), ["a", "a"])
    np.testing.assert_array_equal(same, wavs[::2])


def test_names_change_no_draw_where_all_differ() -> None:
    augment = Augment(AugmentConfig(noise_share=0.3, overlap_share=0.7))
    plain = augment(batch(), LENGTHS, rng(3))
    np.testing.assert_array_equal(augment(batch(), LENGTHS, rng(3), ["a", "b", "c", "d"]), plain)


def test_what_lies_past_the_end_stays_silent() -> None:
    result = Augment(AugmentConfig(noise_share=0.6, overlap_share=0.4))(batch(), LENGTHS, rng())
    for row, length in enumerate(LENGTHS):
        assert not result[row, length:].any()


def test_shares_are_shares() -> None:
    wavs = np.tile(0.01 * voice(400, 0), (4000, 1))
    lengths = np.full(4000, 400)
    result = Augment(config(noise_share=0.2, overlap_share=0.1))(wavs, lengths, rng())
    share = (result != wavs).any(axis=1).mean()
    assert share == pytest.approx(0.3, abs=0.03)
    whole = (result != wavs).mean(axis=1) > 0.6  # noise covers all of a recording
    assert whole.mean() == pytest.approx(0.2, abs=0.03)


def test_gain_is_within_its_range_and_never_clips() -> None:
    quiet = batch() * 0.05
    result = Augment(config(gain_share=1.0, gain_db=(-6.0, 6.0)))(quiet, LENGTHS, rng())
    gains = [db(power(result[i, :n]) / power(quiet[i, :n])) for i, n in enumerate(LENGTHS)]
    assert all(-6.01 < gain < 6.01 for gain in gains)
    assert len({round(gain, 2) for gain in gains}) == len(gains)
    loud = Augment(config(gain_share=1.0, gain_db=(40.0, 40.0)))(batch(), LENGTHS, rng())
    assert np.abs(loud).max() == pytest.approx(1.0)


def test_silence_stays_silence_and_mixes_into_nothing() -> None:
    silence = np.zeros((2, 1000), dtype=np.float32)
    lengths = np.array([1000, 1000])
    assert not Augment(AugmentConfig(noise_share=1.0, overlap_share=0))(silence, lengths, rng()).any()
    wave = voice(1000, 0)
    np.testing.assert_array_equal(mixed(wave, silence[0], 0, 0.0), wave)


def test_the_shortest_recordings_can_be_overlapped() -> None:
    for samples in (1, 2, 3):
        stretch, start = overlap(voice(50, 0), samples, rng())
        assert 0 <= start <= samples - len(stretch)


def test_synthetic_noise_has_unit_power_and_many_colours() -> None:
    noises = [coloured_noise(4000, rng(seed)) for seed in range(20)]
    assert all(power(noise) == pytest.approx(1.0, abs=1e-3) for noise in noises)
    tilt = [np.abs(np.diff(noise)).mean() for noise in noises]
    assert max(tilt) > 3 * min(tilt)


def test_a_noise_source_is_asked_for_each_recording() -> None:
    asked: list[int] = []

    def source(samples: int, generator: np.random.Generator) -> np.ndarray:
        asked.append(samples)
        return np.ones(samples, dtype=np.float32)

    Augment(config(noise_share=1.0), source)(batch(), LENGTHS, rng())
    assert asked == LENGTHS.tolist()


@pytest.mark.parametrize(
    "fields", [{"noise_share": 0.7, "overlap_share": 0.7}, {"gain_share": 2.0}, {"noise_snr_db": (5.0, -5.0)}]
)
def test_impossible_settings_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        AugmentConfig(**fields)
