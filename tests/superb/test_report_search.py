"""What is read of S3PRL's logs, and which learning rate they speak for."""

from __future__ import annotations

import pytest
from tensorboardX import SummaryWriter

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.report.records import JobRecord
from streaming_wavlm.superb.report.search import DEV_SCORES, best, dev_score
from streaming_wavlm.superb.report.training_log import scalars
from streaming_wavlm.superb.tasks import TASKS

# How each of S3PRL's experts names what it logs of its dev split.
TAGS = {
    "asr": "asr/dev-clean-wer",
    "phone_linear": "libri_phone/dev-acc",
    "voxceleb1": "voxceleb1/dev-acc",
    "sv_voxceleb1": "sv-voxceleb1/dev-EER",
    "diarization": "diarization/dev-acc",
    "emotion": "emotion-fold1/dev-acc",
    "fluent_commands": "fluent_commands/dev-acc",
    "speech_commands": "speech_commands/dev-acc",
    "enhancement_stft": "separation_stft/dev-pesq",
    "separation_stft": "separation_stft/dev-si_sdr",
}


def log(folder, **curves: list[float]) -> None:
    writer = SummaryWriter(str(folder))
    for tag, values in curves.items():
        for step, value in enumerate(values):
            writer.add_scalar(tag, value, global_step=step)
    writer.close()


def test_every_task_has_a_dev_score() -> None:
    assert set(DEV_SCORES) == set(TASKS) == set(TAGS)


@pytest.mark.parametrize("task", TAGS)
def test_the_best_on_the_dev_split_is_found_by_the_name_that_s3prl_gives_it(tmp_path, task) -> None:
    other = TAGS[task].replace("/dev", "/test")
    log(tmp_path, **{TAGS[task]: [0.25, 0.75, 0.5], other: [0.125, 0.875], f"{TAGS[task]}x": [9.0]})
    assert dev_score(task, tmp_path) == (0.75 if DEV_SCORES[task].higher_is_better else 0.25)


def test_a_score_that_is_no_number_does_not_count(tmp_path) -> None:
    log(tmp_path, **{TAGS["asr"]: [float("nan"), 0.5, float("inf")]})
    assert dev_score("asr", tmp_path) == 0.5


def test_a_training_without_a_dev_split_is_a_clear_error(tmp_path) -> None:
    log(tmp_path, **{"asr/train-loss": [1.0]})
    with pytest.raises(SuperbError, match=r"no score wer on a dev split.*eval_dataloaders.*asr/train-loss"):
        dev_score("asr", tmp_path)
    with pytest.raises(SuperbError, match="leave --search-lr out"):
        dev_score("mosei", tmp_path)


def test_the_parts_of_a_resumed_training_are_joined(tmp_path) -> None:
    log(tmp_path, a=[1.0, 2.0])
    log(tmp_path, a=[1.5, 2.5, 3.5], b=[0.5])
    joined = scalars(tmp_path)
    assert set(joined) == {"a", "b"}
    assert joined["a"][2] == 3.5


def test_a_log_that_was_cut_off_is_read_up_to_there(tmp_path) -> None:
    log(tmp_path, a=[1.0, 2.0, 3.0])
    path = next(tmp_path.glob("events*"))
    path.write_bytes(path.read_bytes()[:-5])
    assert scalars(tmp_path)["a"] == {0: 1.0, 1: 2.0}


def tried(rate: float, dev: float | None, status="done") -> JobRecord:
    return JobRecord("k", "t", "u", "published", 1, rate, "c", "c", "f", status, dev=dev)


def test_the_best_rate_wins_and_the_lower_of_equals() -> None:
    records = [tried(1e-1, 0.2), tried(1e-2, 0.4), tried(1e-3, 0.4), tried(1e-4, 0.9, "failed")]
    assert best("voxceleb1", records).rate == 1e-3
    assert best("asr", records).rate == 1e-1
    assert best("asr", [tried(1e-1, None), tried(1e-2, 1.0, "failed")]) is None
