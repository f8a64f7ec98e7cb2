"""``streaming_wavlm.load``, from every kind of source."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import streaming_wavlm as sw
from streaming_wavlm import loading
from streaming_wavlm.config import StreamingWavLMConfig
from streaming_wavlm.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    ConfigError,
    StreamingWavLMError,
    UnknownKeyError,
)
from streaming_wavlm.loading import load, random_model
from tiny import noise, tiny_config, tiny_model, worst
from weights import random_weights

GOLDEN = Path(__file__).parent / "data" / "focalcodec_small.safetensors"
TINY_GIVEN = {"max_distance": 64, "window_size": 32}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "checkpoint.pt"
    torch.save(
        {"student_state_dict": {f"module.{k}": v for k, v in random_weights().items()}, "step": 1}, path
    )
    return path


def same_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    state = model.state_dict()
    return state.keys() == weights.keys() and all(torch.equal(state[name], weights[name]) for name in state)


def test_a_training_checkpoint_loads_without_a_config(checkpoint) -> None:
    model = sw.load(checkpoint)
    assert same_weights(model, random_weights())
    assert model.config == tiny_config(max_distance=800, window_size=512)
    assert model.provenance == {"weights": "loaded", "file": "checkpoint.pt"}
    assert {"strides", "max_distance", "window_size", "front_pad", "chunk_ms"} <= set(model.defaults)
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_published_model_of_another_implementation_computes_its_numbers(tmp_path) -> None:
    golden = load_file(GOLDEN)
    torch.save(
        {name: value for name, value in golden.items() if name.startswith("model.")}, tmp_path / "a.pt"
    )
    with torch.inference_mode():
        out = load(str(tmp_path / "a.pt"), chunk_ms=80)(golden["wav"])
    assert worst(out.hidden_states, [golden[f"chunk80ms.hidden_states.{i}"] for i in range(3)]) < 1e-4


@pytest.mark.parametrize("form", ["dict", "yaml", "json", "config"])
def test_a_config_of_any_form_gives_what_the_tensors_cannot_tell(checkpoint, tmp_path, form) -> None:
    yaml, json = tmp_path / "c.yaml", tmp_path / "c.json"
    yaml.write_text("wavlm:\n  student_max_distance: 64\n  window_size: 32\n")
    json.write_text('{"max_distance": 64, "window_size": 32}')
    config = {"dict": TINY_GIVEN, "yaml": yaml, "json": str(json), "config": tiny_config()}[form]
    model = load(checkpoint, config=config)
    assert model.config == tiny_config()
    assert ("strides" in model.defaults) is (form != "config")
    assert "window_size" not in model.defaults


def test_chunk_ms_goes_over_the_config(checkpoint) -> None:
    model = load(checkpoint, config={"chunk_ms": 800}, chunk_ms=200)
    assert model.config.chunk_ms == 200
    assert "chunk_ms" not in model.defaults


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, "float64"])
def test_weights_come_in_the_type_that_was_asked_for(checkpoint, dtype) -> None:
    model = load(checkpoint, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {
        getattr(torch, str(dtype).split(".")[-1])
    }


def test_half_precision_files_are_loaded_in_single_precision(tmp_path) -> None:
    torch.save({name: value.half() for name, value in random_weights().items()}, tmp_path / "a.pt")
    assert load(tmp_path / "a.pt").dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": torch.int8}, "dtype must be one of float16, bfloat16, float32, float64, got torch.int8"),
        ({"dtype": "double precision"}, "dtype must be one of"),
        ({"device": "tpu:0"}, "cannot be put on device 'tpu:0'"),
        ({"chunk_ms": 30}, "chunk_ms must be a multiple of the hop"),
        ({"config": {"window_size": 0}}, "window_size must be a positive integer, got 0"),
    ],
)
def test_options_that_cannot_be_had_are_refused(checkpoint, options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        load(checkpoint, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has it")
def test_a_device_that_this_machine_lacks_is_refused(checkpoint) -> None:
    with pytest.raises(ConfigError, match=r"cannot be put on device 'cuda'.*such as \"cpu\""):
        load(checkpoint, device="cuda")


@pytest.mark.gpu
def test_weights_come_on_the_device_that_was_asked_for(checkpoint) -> None:
    model = load(checkpoint, device="cuda")
    assert model.device.type == "cuda"
    assert model(torch.zeros(1, 6400, device="cuda")).last_hidden_state.device.type == "cuda"


def test_loading_touches_no_random_number_generator(checkpoint) -> None:
    before = torch.get_rng_state()
    load(checkpoint)
    load("mini")
    random_model(tiny_config(), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_model_does_not_depend_on_its_file_any_more(checkpoint, tmp_path) -> None:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "folder")
    expected = load(tmp_path / "folder").state_dict()
    for source, weights in ((checkpoint, random_weights()), (tmp_path / "folder", expected)):
        model = load(source)
        file = source if source.is_file() else source / "model.safetensors"
        file.write_bytes(bytes(file.stat().st_size))
        assert same_weights(model, weights)


def test_a_loaded_model_trains_and_streams(checkpoint) -> None:
    model = load(checkpoint, config=TINY_GIVEN)
    wavs = noise(1, 2 * model.config.chunk_samples, dtype=torch.float32)
    model(wavs).last_hidden_state.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    out, _ = model.step(wavs[:, : model.config.chunk_samples], model.init_state(1))
    assert out.last_hidden_state.shape == (1, 20, 16)


def test_a_default_device_or_type_of_the_process_changes_nothing(checkpoint) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = load(checkpoint)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same_weights(model, random_weights())


# --- mini


def test_mini_is_the_trained_checkpoint_that_comes_with_the_package() -> None:
    model = load("mini", chunk_ms=200)
    assert model.provenance["weights"] == "distilled"
    chain = [model.provenance]
    while "recipe" in chain[-1].get("started_from", {}):
        chain.append(chain[-1]["started_from"])
    names = [one["recipe"]["name"] for one in chain]
    assert names == ["student", "heads", "mini-whitened", "mini-continued", "mini"]
    assert model.config == StreamingWavLMConfig.preset("mini", chunk_ms=200, lookahead_size="chunk")
    assert model.defaults == ()
    assert model.config.num_layers >= 6
    assert model.num_parameters() <= 8_000_000
    files = list(loading.EMBEDDED_FOLDER.iterdir())
    assert {path.name for path in files} == {"README.md", "config.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= 20 * 2**20


def test_a_package_without_its_checkpoint_says_so(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(loading, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(CheckpointNotFoundError, match="installed without the checkpoint 'mini'"):
        load("mini")


def test_mini_is_whatever_lies_in_the_package(caplog, monkeypatch, tmp_path) -> None:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path, provenance={"weights": "trained"})
    monkeypatch.setattr(loading, "EMBEDDED_FOLDER", tmp_path)
    with caplog.at_level(logging.WARNING):
        model = load("mini")
    assert model.config == tiny_config()
    assert model.provenance == {"weights": "trained"}
    assert not caplog.text


def test_mini_takes_a_config_that_fits_and_refuses_one_that_does_not() -> None:
    assert load("mini", config={"lookahead_size": 3}).config.lookahead_size == 3
    with pytest.raises(CheckpointMismatchError, match="num_layers: 8 in the tensors, 2 in the given config"):
        load("mini", config={"num_layers": 2})


def test_a_seed_gives_the_same_weights_again_and_another_seed_others() -> None:
    first = random_model(tiny_config(), seed=1)
    assert same_weights(first, random_model(tiny_config(), seed=1).state_dict())
    assert not same_weights(first, random_model(tiny_config(), seed=2).state_dict())
    assert not first.training


# --- errors


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", ["no file or folder 'nowhere'", "hub id 'owner/name'"]),
        ("./no/where.pt", ["no file or folder './no/where.pt'", "nor the folder 'no'"]),
        ("exp/student.pt", ["no file or folder 'exp/student.pt'"]),
        (
            "owner/name",
            ["'owner/name' is no file or folder here", "Hugging Face hub did not give it", "network"],
        ),
        ("x" * 5000, ["no usable path"]),
        (12, ["named by a path or a hub id", "got int"]),
    ],
)
def test_a_source_that_is_nowhere(source, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointNotFoundError) as caught:
        load(source)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_misspelt_file_offers_the_nearest(checkpoint) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"did you mean '.*checkpoint\.pt'"):
        load(checkpoint.with_name("chekpoint.pt"))


def test_a_misspelt_key_is_refused_before_the_weights_are_looked_at(checkpoint, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("windw_size: 3\n")
    with pytest.raises(UnknownKeyError, match="did you mean 'window_size'"):
        load(checkpoint, config=tmp_path / "c.yaml")


def test_half_of_the_keys_is_refused(tmp_path) -> None:
    torch.save(dict(list(random_weights().items())[::2]), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatchError, match="29 missing"):
        load(tmp_path / "a.pt")


def test_every_error_of_this_package_is_one_of_its_tree() -> None:
    assert issubclass(CheckpointError, StreamingWavLMError)
    assert issubclass(ConfigError, StreamingWavLMError)
