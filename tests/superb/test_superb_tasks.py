from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streaming_wavlm.superb.tasks import CONFIGS, TASKS, cache_folder

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
    assert SID.score(tmp_path) == 0.75
