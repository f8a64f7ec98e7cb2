"""The published folder: what is written, what is read back, and what a crash leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open

from streaming_wavlm.checkpoint import read_checkpoint, resolve_config, write_checkpoint
from streaming_wavlm.config import FORMAT_VERSION
from streaming_wavlm.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    ConfigError,
    UnknownKeyError,
    UnsupportedCheckpointError,
)
from tiny import tiny_config
from weights import random_weights

CONFIG = tiny_config(front_pad="kernel-stride", chunk_ms=800)
PROVENANCE = {"weights": "trained", "steps": 3, "license": "apache-2.0", "data": ["a", "b"]}


def write(folder: Path, seed: int = 0, config=CONFIG, **extra) -> None:
    write_checkpoint(folder, random_weights(seed), config, {**PROVENANCE, **extra}, ("window_size",))


def edit(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read_back(tmp_path) -> None:
    write(tmp_path / "a" / "b")
    checkpoint = read_checkpoint(tmp_path / "a" / "b")
    config, assumed = resolve_config(checkpoint, {})
    assert config == CONFIG
    assert assumed == checkpoint.defaults == ("window_size",)
    assert checkpoint.provenance == PROVENANCE
    assert all(torch.equal(checkpoint.tensors[name], value) for name, value in random_weights().items())


def test_the_folder_has_the_layout_of_the_hub(tmp_path) -> None:
    write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["format_version"] == FORMAT_VERSION
    assert values["provenance"] == PROVENANCE
    assert set(CONFIG.field_names()) <= set(values)
    assert CONFIG.to_dict().items() <= values.items()


def test_the_weights_alone_carry_their_config(tmp_path) -> None:
    write(tmp_path)
    checkpoint = read_checkpoint(tmp_path / "model.safetensors")
    assert resolve_config(checkpoint, {})[0] == CONFIG
    assert checkpoint.provenance == PROVENANCE
    (tmp_path / "config.json").unlink()
    assert resolve_config(read_checkpoint(tmp_path), {})[0] == CONFIG


def test_an_edited_config_holds_over_the_one_inside_the_weights(tmp_path) -> None:
    write(tmp_path)
    edit(tmp_path, chunk_ms=200)
    assert resolve_config(read_checkpoint(tmp_path), {})[0].chunk_ms == 200


def test_the_card_is_valid_and_says_what_the_model_is(tmp_path) -> None:
    write(tmp_path)
    _, header, body = (tmp_path / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(header)
    assert front["library_name"] == "streaming-wavlm"
    assert front["license"] == "apache-2.0"
    assert "| chunk | 800 ms" in body
    assert "| algorithmic latency | 800 ms |" in body
    assert "random weights" not in body


def test_the_card_says_random_weights_in_so_many_words(tmp_path) -> None:
    write(tmp_path, weights="random")
    assert "random weights" in (tmp_path / "README.md").read_text()


def test_the_card_of_the_reference_promises_no_stream(tmp_path) -> None:
    config = tiny_config(causal=False, front_pad="valid", final_norm=True)
    write_checkpoint(tmp_path, random_weights(causal=False, front_pad="valid", final_norm=True), config, {})
    card = (tmp_path / "README.md").read_text()
    assert "cannot be streamed" in card
    assert "latency" not in card
    assert "license" not in card


def test_a_card_that_somebody_wrote_is_kept(tmp_path) -> None:
    (tmp_path / "README.md").write_text("mine")
    write(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_saving_again_replaces_the_checkpoint_and_nothing_else(tmp_path) -> None:
    write(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, seed=1, steps=9)
    checkpoint = read_checkpoint(tmp_path)
    assert torch.equal(checkpoint.tensors["norm.weight"], random_weights(1)["norm.weight"])
    assert checkpoint.provenance["steps"] == 9
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("again", [False, True])
def test_a_crash_at_any_moment_leaves_the_old_the_new_or_nothing_that_loads(
    tmp_path, monkeypatch, again
) -> None:
    """Every replace and unlink fails in turn; what is there then is one whole checkpoint, or none."""
    new = tiny_config(chunk_ms=200, front_pad="kernel-1")
    outcomes = set()
    for moment in range(8):
        folder = tmp_path / str(moment)
        if again:
            write(folder)
        with monkeypatch.context() as patch:
            calls = crash_at(patch, moment)
            try:
                write(folder, seed=1, config=new)
            except KeyboardInterrupt:
                outcomes.add("crashed")
        try:
            found = read_checkpoint(folder)
        except CheckpointNotFoundError:
            outcomes.add("nothing")
            continue
        config = resolve_config(found, {})[0]
        is_new = torch.equal(found.tensors["norm.weight"], random_weights(1)["norm.weight"])
        assert config == (new if is_new else CONFIG)
        outcomes.add("new" if is_new else "old")
        if calls and len(calls) < moment:
            break
    assert outcomes == ({"crashed", "nothing", "new", "old"} if again else {"crashed", "nothing", "new"})


def crash_at(patch: pytest.MonkeyPatch, moment: int) -> list[str]:
    calls: list[str] = []

    def crashing(name: str):
        original = getattr(Path, name)

        def call(self: Path, *args, **kwargs):
            if name == "unlink" and self.suffix == ".tmp":  # what follows a crash is no part of it
                return original(self, *args, **kwargs)
            calls.append(name)
            if len(calls) == moment + 1:
                raise KeyboardInterrupt
            return original(self, *args, **kwargs)

        return call

    for name in ("replace", "unlink", "write_text"):
        patch.setattr(Path, name, crashing(name))
    return calls


# --- What is refused.


def test_a_newer_format_is_refused_with_how_to_upgrade(tmp_path) -> None:
    write(tmp_path)
    edit(tmp_path, format_version=FORMAT_VERSION + 1)
    with pytest.raises(UnsupportedCheckpointError) as caught:
        read_checkpoint(tmp_path)
    message = str(caught.value)
    assert f"format_version {FORMAT_VERSION + 1}" in message
    assert f"reads up to {FORMAT_VERSION}" in message
    assert "pip install -U streaming-wavlm" in message


def test_an_unknown_key_names_the_nearest(tmp_path) -> None:
    write(tmp_path)
    edit(tmp_path, window_sise=3)
    with pytest.raises(UnknownKeyError, match=r"'window_sise'.*did you mean 'window_size'"):
        read_checkpoint(tmp_path)


def test_a_config_that_contradicts_the_weights_beside_it(tmp_path) -> None:
    write(tmp_path)
    edit(tmp_path, num_layers=6)
    with pytest.raises(
        CheckpointMismatchError, match="num_layers: 2 in the tensors, 6 in the checkpoint's own config"
    ):
        resolve_config(read_checkpoint(tmp_path), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("", "cannot be read as JSON"),
        ("[1]", "must be a mapping"),
        ('{"model_type": "bert"}', "model_type 'bert', expected 'streaming_wavlm'"),
        ('{"model_type": "wavlm"}', r"streaming_wavlm\.convert"),
        ('{"format_version": "1"}', "format_version must be a positive integer, got '1'"),
        ('{"provenance": 3}', "provenance must be a mapping, got int"),
        ('{"defaults": ["windowsize"]}', "defaults must be a list of config fields"),
        ('{"dim": 1, "dim": 2}', "'dim' is given twice"),
    ],
)
def test_a_malformed_config_is_refused(tmp_path, text, words) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises((ConfigError, UnsupportedCheckpointError), match=words) as caught:
        read_checkpoint(tmp_path)
    assert "config.json" in str(caught.value)


def test_nothing_is_written_of_a_model_that_diverged(tmp_path) -> None:
    tensors = random_weights()
    tensors["norm.bias"][0] = float("nan")
    with pytest.raises(CheckpointCorruptError, match="the model to be saved: 1 of the 8 values of norm"):
        write_checkpoint(tmp_path / "x", tensors, CONFIG, {})
    assert not (tmp_path / "x").exists()


def test_provenance_that_json_cannot_hold_is_refused(tmp_path) -> None:
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(ConfigError, match="provenance must be plain values"):
            write(tmp_path / "x", extra=value)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written to '.*file.inside'.*give a folder"):
        write(tmp_path / "file" / "inside")


def test_the_type_of_the_weights_is_kept(tmp_path) -> None:
    tensors = {name: value.bfloat16() for name, value in random_weights().items()}
    write_checkpoint(tmp_path, tensors, CONFIG, {})
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.get_slice("norm.weight").get_dtype() == "BF16"


def test_the_config_beside_weights_is_json_alone(tmp_path) -> None:
    """YAML has aliases, a few hundred bytes of which can stand for more than fits into memory."""
    write(tmp_path)
    config = tmp_path / "config.json"
    text = config.read_text()
    config.write_text("\ufeff" + text, encoding="utf-8")
    read_checkpoint(tmp_path)
    config.write_text("num_layers: 2\n")
    with pytest.raises(ConfigError, match=r"cannot be read as JSON.*with config="):
        read_checkpoint(tmp_path)
