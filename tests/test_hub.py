"""Loading from and publishing to the hub: against folders, a stand-in, and the hub's own library."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from streaming_wavlm.errors import CheckpointNotFoundError, HubError, MissingDependencyError
from streaming_wavlm.loading import load
from streaming_wavlm.model import StreamingWavLM
from tiny import noise, tiny_config, tiny_model, worst

huggingface_hub = pytest.importorskip("huggingface_hub")


def test_a_saved_model_comes_back_the_same(tmp_path) -> None:
    model = tiny_model(dtype=torch.float32, chunk_ms=800)
    model.provenance = {"weights": "random"}
    model.defaults = ("strides",)
    model.save_pretrained(tmp_path / "model", provenance={"note": "a"})
    again = StreamingWavLM.from_pretrained(tmp_path / "model")
    assert again.config == model.config
    assert again.provenance == {"weights": "random", "note": "a"}
    assert again.defaults == ("strides",)
    assert not again.training
    wavs = noise(1, 9000, dtype=torch.float32)
    assert worst(again(wavs).hidden_states, model(wavs).hidden_states) == 0


def test_options_are_those_of_load(tmp_path) -> None:
    tiny_model(dtype=torch.float32).save_pretrained(str(tmp_path))
    model = StreamingWavLM.from_pretrained(
        str(tmp_path), chunk_ms=200, config={"window_size": 20}, device="cpu", dtype=torch.float64
    )
    assert model.config == tiny_config(chunk_ms=200, window_size=20)
    assert model.dtype == torch.float64


def test_a_subclass_comes_back_as_itself(tmp_path) -> None:
    class Mine(StreamingWavLM):
        pass

    tiny_model().save_pretrained(tmp_path)
    assert type(Mine.from_pretrained(tmp_path)) is Mine


# --- from the hub


def test_a_hub_id_is_fetched_with_the_options_given(tmp_path, monkeypatch) -> None:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "cached")
    asked: dict[str, Any] = {}

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(tmp_path / "cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    model = StreamingWavLM.from_pretrained(
        "owner/name", revision="v1", token="t", cache_dir="c", local_files_only=True
    )
    assert model.config == tiny_config()
    assert asked == {
        "repo_id": "owner/name",
        "revision": "v1",
        "token": "t",
        "cache_dir": Path("c"),
        "local_files_only": True,
        "allow_patterns": ["config.json", "model.safetensors"],
    }
    assert load("owner/name").config == tiny_config()


def test_a_folder_here_goes_over_a_hub_id(tmp_path, monkeypatch) -> None:
    tiny_model().save_pretrained(tmp_path / "owner" / "name")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.chdir(tmp_path)
    assert StreamingWavLM.from_pretrained("owner/name").config == tiny_config()


@pytest.mark.parametrize("local_only", [True, False])
def test_offline_says_that_both_were_tried(tmp_path, monkeypatch, local_only) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointNotFoundError) as caught:
        StreamingWavLM.from_pretrained(
            "owner/name", revision="v9", cache_dir=tmp_path, local_files_only=local_only
        )
    message = str(caught.value)
    assert "'owner/name' is no file or folder here" in message
    assert "the Hugging Face hub did not give it at revision 'v9'" in message
    assert "given by its path" in message


def test_without_the_hub_library_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"'owner/name'.*streaming-wavlm\[hub\]"):
        StreamingWavLM.from_pretrained("owner/name")
    with pytest.raises(MissingDependencyError, match=r"streaming-wavlm\[hub\]"):
        tiny_model().push_to_hub("owner/name")


# --- to the hub


class FakeApi:
    """Records what is asked of the hub, and keeps the files that were uploaded."""

    has_card = False
    error: Exception | None = None

    def __init__(self, token: str | None = None) -> None:
        self.token = token
        FakeApi.last = self

    def create_repo(self, repo_id: str, **options: Any) -> SimpleNamespace:
        if self.error:
            raise self.error
        self.created = options
        return SimpleNamespace(repo_id=repo_id)

    def create_branch(self, repo_id: str, **options: Any) -> None:
        self.branch = options["branch"]

    def file_exists(self, repo_id: str, filename: str, **options: Any) -> bool:
        return self.has_card and filename == "README.md"

    def upload_folder(
        self, *, folder_path: str, ignore_patterns: list[str] | None, **options: Any
    ) -> SimpleNamespace:
        self.files = {path.name for path in Path(folder_path).iterdir()} - set(ignore_patterns or ())
        self.config = (Path(folder_path) / "config.json").read_text()
        self.options = options
        return SimpleNamespace(commit_url=f"https://hub/{options['repo_id']}/commit/1")


@pytest.fixture
def api(monkeypatch) -> type[FakeApi]:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    return FakeApi


def test_a_model_is_published_whole(api) -> None:
    url = tiny_model().push_to_hub("owner/name", private=True, token="t", provenance={"note": "hello"})
    assert url == "https://hub/owner/name/commit/1"
    assert api.last.files == {"README.md", "config.json", "model.safetensors"}
    assert "hello" in api.last.config
    assert api.last.token == "t"
    assert api.last.created == {"private": True, "exist_ok": True}
    assert api.last.options["commit_message"]


def test_a_branch_is_made_and_a_card_is_kept(api, monkeypatch) -> None:
    monkeypatch.setattr(api, "has_card", True)
    tiny_model().push_to_hub("owner/name", revision="dev", create_pr=True)
    assert api.last.branch == "dev"
    assert api.last.files == {"config.json", "model.safetensors"}
    assert api.last.options["create_pr"] is True


def test_a_hub_that_refuses_is_a_named_error(api, monkeypatch) -> None:
    monkeypatch.setattr(api, "error", ConnectionError("no route"))
    with pytest.raises(HubError) as caught:
        tiny_model().push_to_hub("owner/name")
    message = str(caught.value)
    assert "'owner/name' was not published (ConnectionError: no route)" in message
    assert "hf auth login" in message
    assert "save_pretrained" in message


def test_publishing_offline_with_the_real_library_is_a_named_error(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="was not published"):
        tiny_model().push_to_hub("owner/name", token="hf_none")


def test_a_home_of_nobody_is_no_checkpoint() -> None:
    with pytest.raises(CheckpointNotFoundError, match="no usable path"):
        load("~nosuchuser_x/model.pt")
