from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.tasks import CONFIGS, TASKS, cache_folder, default_config, find_task
from streaming_wavlm.superb.tasks.task import lookup

SID = TASKS["voxceleb1"]


def test_the_config_is_superbs_published_protocol() -> None:
    config = yaml.safe_load((CONFIGS / "voxceleb1.yaml").read_text())
    runner, data = config["runner"], config["downstream_expert"]["datarc"]
    assert runner["total_steps"] == 200_000
    assert (data["train_batch_size"], runner["gradient_accumulate_steps"]) == (8, 4)
    assert data["max_timestep"] == 8 * 16000
    assert config["optimizer"] == {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-4}
    head = config["downstream_expert"]["modelrc"]
    assert (head["projector_dim"], head["select"], head["UtteranceLevel"]) == (
        256, "UtteranceLevel", {"pooling": "MeanPooling"},
    )  # fmt: skip


def test_the_small_config_has_the_same_head_and_keys() -> None:
    full, small = (
        yaml.safe_load((CONFIGS / name).read_text()) for name in ("voxceleb1.yaml", "mini/voxceleb1.yaml")
    )
    assert small["downstream_expert"]["modelrc"] == full["downstream_expert"]["modelrc"]
    assert {key: set(value) for key, value in small.items()} == {
        key: set(value) for key, value in full.items()
    }


def test_what_is_missing_is_named_with_the_way_to_give_it(tmp_path) -> None:
    data = {"file_path": str(tmp_path), "meta_data": str(tmp_path / "list.txt")}
    message = SID.missing({"downstream_expert": {"datarc": data}})
    assert message is not None
    assert "list.txt (config.downstream_expert.datarc.meta_data)" in message
    assert "recordings" not in message
    assert "-o \"config.downstream_expert.datarc.file_path='...',,config" in message
    (tmp_path / "list.txt").touch()
    assert SID.missing({"downstream_expert": {"datarc": data}}) is None


@pytest.mark.parametrize(
    "config", [{}, {"downstream_expert": None}, {"downstream_expert": {"datarc": {"file_path": ""}}}]
)
def test_a_config_without_paths_misses_them(config) -> None:
    assert "(no path)" in (SID.missing(config) or "")


def test_the_cache_is_the_users_or_where_it_is_told_to_be(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("STREAMING_WAVLM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "streaming-wavlm" / "s3prl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "streaming-wavlm" / "s3prl"
    monkeypatch.setenv("STREAMING_WAVLM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "s3prl"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # S3PRL leaves the list open
def test_a_second_corpus_does_not_get_the_files_of_the_first(hub, corpus, tmp_path, monkeypatch) -> None:
    pytest.importorskip("librosa")
    monkeypatch.setenv("STREAMING_WAVLM_CACHE", str(tmp_path / "cache"))
    SID.isolate()
    SID.isolate()
    from s3prl.downstream.voxceleb1 import dataset

    first = dataset.SpeakerClassifiDataset("train", corpus, corpus / "veri_test_class.txt")
    shorter = tmp_path / "list.txt"
    shorter.write_text("1 id10001/video/0.wav\n")
    second = dataset.SpeakerClassifiDataset("train", corpus, shorter)
    again = dataset.SpeakerClassifiDataset("train", corpus, corpus / "veri_test_class.txt")
    assert (len(first), len(second), len(again)) == (8, 1, 8)
    assert not (Path(dataset.__file__).parent / ".cache").exists()


def test_the_score_is_the_share_of_right_answers(tmp_path) -> None:
    (tmp_path / "test_predict.txt").write_text("a id1\nb id2\nc id2\nd id1\n")
    (tmp_path / "test_truth.txt").write_text("a id1\nb id1\nc id2\nd id1\n")
    (score,) = SID.scores(tmp_path)
    assert (score.value, score.bare, score.metric.name, score.metric.unit) == (75, 0.75, "accuracy", "%")
    assert score.units.tolist() == [[1], [0], [1], [1]]


def test_a_task_that_was_not_evaluated_says_how_to(tmp_path) -> None:
    for task in TASKS.values():
        with pytest.raises(SuperbError):
            task.scores(tmp_path)
    with pytest.raises(SuperbError, match=r"no file test_predict\.txt.*superb run -m evaluate -e"):
        SID.scores(tmp_path)


def test_every_task_has_its_configs_with_the_same_keys_where_it_finds_its_data() -> None:
    assert list(TASKS) == [
        "asr", "phone_linear", "voxceleb1", "sv_voxceleb1", "diarization", "emotion", "fluent_commands",
        "speech_commands", "enhancement_stft", "separation_stft",
    ]  # fmt: skip
    for name, task in TASKS.items():
        full, small = (yaml.safe_load(default_config(name, mini).read_text()) for mini in (False, True))
        for key in task.needs:
            assert lookup(full, key)
            assert lookup(small, key) == ""
        assert full["downstream_expert"].keys() == small["downstream_expert"].keys()
        for part in ("datarc", "loaderrc", "modelrc"):
            assert (
                full["downstream_expert"].get(part, {}).keys()
                == small["downstream_expert"].get(part, {}).keys()
            )
        assert small["runner"]["total_steps"] <= 2000
        assert full["runner"]["total_steps"] % full["runner"]["save_step"] == 0
        assert [full["runner"]["eval_dataloaders"][0].split("-")[0]] == ["dev"]


@pytest.mark.parametrize(
    ("name", "steps", "batch", "accumulated", "rate"),
    [
        ("asr", 200_000, 32, 1, 1e-4), ("phone_linear", 100_000, 16, 2, 1e-2),
        ("voxceleb1", 200_000, 8, 4, 1e-4),
        ("sv_voxceleb1", 200_000, 10, 5, 1e-4), ("diarization", 30_000, 8, 4, 1e-4),
        ("emotion", 30_000, 4, 8, 1e-4),
        ("fluent_commands", 200_000, 32, 1, 1e-4), ("speech_commands", 200_000, 32, 1, 1e-4),
        ("enhancement_stft", 150_000, 8, 1, 1e-4), ("separation_stft", 150_000, 8, 1, 1e-4),
    ],
)  # fmt: skip
def test_steps_batches_and_rates_are_superbs(name, steps, batch, accumulated, rate) -> None:
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    expert, runner = config["downstream_expert"], config["runner"]
    sizes = {**expert.get("datarc", {}), **expert.get("loaderrc", {})}
    found = next(sizes[key] for key in ("train_batch_size", "train_batchsize", "batch_size") if key in sizes)
    assert (runner["total_steps"], found, runner["gradient_accumulate_steps"]) == (steps, batch, accumulated)
    assert config["optimizer"]["lr"] == rate


def test_tasks_have_the_names_that_people_use() -> None:
    names = {"ks": "speech_commands", "keyword_spotting": "speech_commands", "SF": "speech_commands",
             "PR": "phone_linear", "asr": "asr", "sid": "voxceleb1",
             "asv": "sv_voxceleb1", "sd": "diarization",
             "er": "emotion", "ic": "fluent_commands", "se": "enhancement_stft",
             "ss": "separation_stft"}  # fmt: skip
    assert {name: find_task(name).name for name in names} == names
    assert "keyword spotting" in find_task("sf").title
    with pytest.raises(SuperbError, match="no task 'emotions' here; did you mean 'emotion'"):
        find_task("emotions")


def test_trimmed_lengths_of_a_second_corpus_are_its_own(hub, tmp_path, monkeypatch) -> None:
    for name in ("librosa", "joblib"):
        pytest.importorskip(name)
    monkeypatch.setenv("STREAMING_WAVLM_CACHE", str(tmp_path / "cache"))
    TASKS["sv_voxceleb1"].isolate()
    TASKS["sv_voxceleb1"].isolate()
    from s3prl.downstream.sv_voxceleb1 import dataset

    own = dataset.__file__

    def speakers(seconds: dict[str, float]) -> int:
        root = tmp_path / "corpus"
        shutil.rmtree(root, ignore_errors=True)
        for name, length in seconds.items():
            (root / name / "video").mkdir(parents=True)
            noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(16000 * length))
            soundfile.write(root / name / "video" / "0.wav", noise, 16000)
        return len(dataset.SpeakerVerifi_train({"min_sec": 8000}, ["Voxceleb1"], [root], None))

    assert speakers({"id1": 1.0, "id2": 0.2}) == 1
    assert speakers({"id1": 1.0, "id2": 0.7}) == 2
    assert dataset.__file__ == own
    assert not (Path(own).parent / ".wav_lengths").exists()
