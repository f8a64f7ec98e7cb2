"""The figures: what they are made of, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.scores import Metric, Score, read_table, write_table
from streaming_wavlm.superb.scores.diarization import diarization, read_turns, turns
from streaming_wavlm.superb.scores.readers import accuracy, enhancement, errors, transcripts
from streaming_wavlm.superb.scores.score import mean, mean_percent, percentage
from streaming_wavlm.superb.scores.verification import equal_error_rate, other_speakers, with_speakers

RATE = Metric("rate", "%", False)


def test_a_rate_weighs_utterances_by_their_length() -> None:
    score = Score.of(RATE, np.array([[1.0, 10.0], [3.0, 10.0], [0.0, 80.0]]), percentage)
    assert score.value == 4
    assert score.bare == 0.04
    assert Score.of(Metric("SI-SDRi", "dB", True), np.array([[1.0], [2.0]]), mean).bare == 1.5


def test_the_interval_is_as_wide_as_theory_says_and_the_same_each_time() -> None:
    hits = (np.arange(400) % 4 == 0).astype(float)[:, None]
    score = Score.of(RATE, hits, mean_percent)
    lower, upper = score.interval()
    assert score.interval() == (lower, upper) != score.interval(seed=1)
    sigma = 100 * np.sqrt(0.25 * 0.75 / 400)
    assert lower == pytest.approx(25 - 1.96 * sigma, abs=0.7)
    assert upper == pytest.approx(25 + 1.96 * sigma, abs=0.7)
    narrow = score.interval(level=0.5)
    assert lower < narrow[0] < 25 < narrow[1] < upper


def test_draws_without_a_figure_do_not_count_and_none_is_no_interval() -> None:
    trials = np.array([[1.0, 0.9], [0.0, 0.1]])
    assert Score.of(RATE, trials, equal_error_rate).interval(draws=50) == (0, 0)
    assert all(np.isnan(Score.of(RATE, trials[:1], equal_error_rate).interval(draws=5)))


@pytest.mark.parametrize(
    ("targets", "others", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0),
        ([0.1, 0.2], [0.9, 0.8], 100),
        ([0.5], [0.5], 50),
        ([0.9, 0.3], [0.6, 0.1], 50),
        ([0.9, 0.8, 0.7, 0.2], [0.6, 0.1, 0.1, 0.1], 25),
    ],
)
def test_the_equal_error_rate(targets, others, expected) -> None:
    units = np.array([*((1, score) for score in targets), *((0, score) for score in others)], dtype=float)
    assert equal_error_rate(units) == pytest.approx(expected)
    assert equal_error_rate(units[::-1]) == pytest.approx(expected)


def test_the_equal_error_rate_is_s3prls(hub) -> None:
    for name in ("sklearn", "scipy"):
        pytest.importorskip(name)
    from s3prl.downstream.sv_voxceleb1.utils import EER

    rng = np.random.default_rng(0)
    for count in (5, 50, 500):
        labels = rng.integers(0, 2, count)
        labels[:2] = 0, 1
        scores = np.round(rng.normal(labels, 1), 1)  # with ties
        ours = equal_error_rate(np.stack([labels, scores], axis=1).astype(float))
        assert ours == pytest.approx(100 * EER(labels, scores)[0], abs=1e-6)


def test_a_trial_that_counts_twice_is_two_trials() -> None:
    rng = np.random.default_rng(0)
    units = np.stack([rng.integers(0, 2, 60), np.round(rng.normal(size=60), 1), *np.zeros((2, 60))], axis=1)
    times = rng.integers(0, 4, 60)
    counted = np.concatenate([units, times[:, None].astype(float)], axis=1)
    assert equal_error_rate(counted) == pytest.approx(equal_error_rate(np.repeat(units, times, axis=0)))
    assert equal_error_rate(counted) != pytest.approx(equal_error_rate(units))


def test_recordings_are_of_one_speaker_where_trials_say_so() -> None:
    trials = [(1, 0, 1), (1, 2, 1), (0, 2, 3), (1, 4, 3), (0, 5, 0)]
    units = np.array([(same, 0.1 * i, first, second) for i, (same, first, second) in enumerate(trials)])
    found = with_speakers(units)
    assert found[:, 2:].tolist() == [[0, 0], [0, 0], [0, 1], [1, 1], [2, 0]]
    assert (found[:, :2] == units[:, :2]).all()
    drawn = other_speakers(found, np.random.default_rng(3))
    pairs = [tuple(map(int, row)) for row in drawn[:, 2:4]]
    times = dict(zip(pairs, drawn[:, 4], strict=True))
    counts = [times[0, 0], times[1, 1]]
    assert sum(counts) <= 3
    assert times[0, 1] == counts[0] * counts[1]
    assert times[2, 0] == counts[0] * (3 - sum(counts))


def test_the_interval_of_verification_holds_the_truth_where_one_over_trials_does_not() -> None:
    speakers, each = 10, 6
    rng = np.random.default_rng(0)

    def trials(speakers: int) -> np.ndarray:
        voices = rng.normal(size=(speakers, 1, 12)) + 1.05 * rng.normal(size=(speakers, each, 12))
        voices = voices.reshape(-1, 12) / np.linalg.norm(voices.reshape(-1, 12), axis=1, keepdims=True)
        first, second = np.triu_indices(speakers * each, 1)
        same = first // each == second // each
        return np.stack([same, (voices @ voices.T)[first, second], first, second], axis=1)

    truth = equal_error_rate(trials(300))
    held = {"speakers": 0, "trials": 0}
    for _ in range(60):
        units = with_speakers(trials(speakers))
        for kind, draw in (("speakers", {"draw": other_speakers}), ("trials", {})):
            low, high = Score.of(RATE, units, equal_error_rate, **draw).interval(draws=100)
            held[kind] += low <= truth <= high
    assert held["speakers"] >= 50
    assert held["trials"] <= 40


def test_errors_are_insertions_deletions_and_substitutions() -> None:
    pytest.importorskip("editdistance")
    pairs = [("a b c", "a b c"), ("a x c", "a b c"), ("", "a b"), ("a b c d", "a b"), ("a", "")]
    counted = errors([(heard.split(), said.split()) for heard, said in pairs])
    assert counted.tolist() == [[0, 3], [1, 3], [2, 2], [2, 2], [1, 0]]


def test_transcripts_are_matched_by_name_and_may_be_empty(tmp_path) -> None:
    pytest.importorskip("editdistance")
    (tmp_path / "test-clean-noLM-hyp.ark").write_text("b ONE TOO\na \n")
    (tmp_path / "test-clean-noLM-ref.ark").write_text("a \nb ONE TWO\n")
    words, characters = transcripts("test-clean")(tmp_path)
    assert (words.value, words.units.tolist()) == (50, [[0, 0], [1, 2]])
    assert characters.value == pytest.approx(100 / 7)
    (tmp_path / "test-clean-noLM-ref.ark").write_text("b ONE TWO\n")
    with pytest.raises(SuperbError, match="different evaluations"):
        transcripts("test-clean")(tmp_path)


def test_answers_must_be_of_one_evaluation(tmp_path) -> None:
    read = accuracy("test_fold*_predict.txt", "test_fold*_truth.txt")
    for fold in (1, 2):
        (tmp_path / f"test_fold{fold}_predict.txt").write_text("a x\n")
        (tmp_path / f"test_fold{fold}_truth.txt").write_text("a x\nb y\n")
    with pytest.raises(SuperbError, match="has 2 files test_fold"):
        read(tmp_path)
    for path in tmp_path.glob("test_fold2*"):
        path.unlink()
    with pytest.raises(SuperbError, match="1 predictions and 2 truths"):
        read(tmp_path)


def test_clips_without_a_value_are_left_out_of_that_measure_alone(tmp_path) -> None:
    write_table(tmp_path, "test", ["a", "b"], {"pesq": [2.0, float("nan")], "stoi": [0.5, 0.7]})
    pesq, stoi = enhancement(tmp_path)
    assert (pesq.value, len(pesq.units)) == (2, 1)
    assert (stoi.value, len(stoi.units)) == (pytest.approx(60), 2)
    assert read_table(tmp_path, "test", "stoi", "pesq")[0].tolist() == [0.5, 2]


def test_decisions_become_turns_without_what_is_shorter_than_half_the_median() -> None:
    pytest.importorskip("scipy")
    frames = np.zeros((100, 2))
    frames[10:40, 0] = 0.9
    frames[60:64, 0] = 0.9
    frames[50:100, 1] = 0.6
    assert turns(frames, 0.02, 11) == [("0", 0.2, 0.8), ("1", 1.0, 2.0)]
    assert turns(frames, 0.02, 11, end=1.6)[-1] == ("1", 1.0, 1.6)
    assert len(turns(frames, 0.02, 1)) == 3


def test_the_diarization_error_rate_of_a_case_that_can_be_counted_by_hand(tmp_path) -> None:
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("pyannote.metrics")
    data, predictions = tmp_path / "data", tmp_path / "scoring" / "predictions"
    for folder in (data, predictions):
        folder.mkdir(parents=True)
    # A speaks from 0 to 4 s and B from 3 to 6 s; the head hears B from 5 to 7 s.
    (data / "rttm").write_text(
        "SPEAKER x 1 0.00 4.00 <NA> <NA> A <NA> <NA>\nSPEAKER x 1 3.00 3.00 <NA> <NA> B <NA> <NA>\n"
    )
    (data / "reco2dur").write_text("x 8.0\n")
    frames = np.zeros((400, 2))
    frames[0:200, 1] = 1
    frames[250:350, 0] = 1
    with h5py.File(predictions / "x.h5", "w") as file:
        file["T_hat"] = frames
    (tmp_path / "frame_shift").write_text("320\n")
    (tmp_path / "config_2026-01-01-00-00-00.yaml").write_text(
        f"runner: {{}}\ndownstream_expert: {{loaderrc: {{test_dir: '{data}'}}}}\n"
    )
    plain, forgiving = diarization(tmp_path)
    assert plain.units.tolist() == [
        [pytest.approx(3.0), pytest.approx(7.0)]
    ]  # 2 s missed, 1 s of false alarm
    # Left out are 0.25 s on either side of 0, 3, 4 and 6 s: of the 2 s missed 0.75, of the false alarm 0.25.
    assert forgiving.units.tolist() == [[pytest.approx(1.25 + 0.75), pytest.approx(3.0 + 2.0)]]
    (data / "reco2dur").write_text("x 8.0\ny 1.0\n")
    with pytest.raises(SuperbError, match="predictions of 1 recordings of 2"):
        diarization(tmp_path)
    assert "SPEAKER x 1 0.000 4.000 <NA> <NA> 1" in (tmp_path / "scoring" / "hypothesis.rttm").read_text()


def test_who_speaks_when_is_read_from_segments_where_there_is_no_rttm(tmp_path) -> None:
    (tmp_path / "segments").write_text("u1 x 0.5 1.5\nu2 x 1.0 2.0\n")
    (tmp_path / "utt2spk").write_text("u1 A\nu2 B\n")
    assert read_turns(tmp_path) == {"x": [("A", 0.5, 1.5), ("B", 1.0, 2.0)]}
    (tmp_path / "utt2spk").write_text("u1 A\n")
    with pytest.raises(SuperbError, match="takes rttm, or segments and utt2spk"):
        read_turns(tmp_path)
