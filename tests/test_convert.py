"""Conversion of offline WavLMs, held against the code that they come from."""

from __future__ import annotations

import argparse
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import streaming_wavlm as sw
from offline_models import huggingface_model, import_transformers, original_model, save_original
from streaming_wavlm.conversion import convert
from streaming_wavlm.conversion.microsoft import parse_conv_layers
from streaming_wavlm.errors import (
    CheckpointCorruptError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    ConfigError,
    UnsupportedCheckpointError,
)
from tiny import noise, worst

WAV = noise(2, 16_000, dtype=torch.float32)


def huggingface_states(
    model: torch.nn.Module, wavs: torch.Tensor, mask: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """Every layer's output, the last one normalised, as ours is."""
    with torch.inference_mode():
        out = model(wavs, attention_mask=mask, output_hidden_states=True)
    return [*out.hidden_states[1:-1], out.last_hidden_state]


def original_states(model: torch.nn.Module, wavs: torch.Tensor) -> list[torch.Tensor]:
    layers = len(model.encoder.layers)
    with torch.inference_mode():
        (_, results), _ = model.extract_features(wavs, output_layer=layers, ret_layer_results=True)
        last, _ = model.extract_features(wavs)
    return [*(state.transpose(0, 1) for state, _ in results[1:layers]), last]


# --- The bidirectional reference computes what the original computes.


@pytest.mark.parametrize("changes", [{}, {"conv_bias": True}, {"num_conv_pos_embeddings": 15}])
def test_the_reference_equals_transformers(changes) -> None:
    original = huggingface_model(**changes)
    reference = convert(original, bidirectional=True)
    with torch.inference_mode():
        ours = reference(WAV).hidden_states
    theirs = huggingface_states(original, WAV)
    assert len(ours) == 4
    assert worst(ours, theirs) < 1e-4
    assert theirs[-1].abs().max() > 0.1


def test_the_reference_equals_transformers_in_a_padded_batch() -> None:
    original = huggingface_model()
    reference = convert(original, bidirectional=True)
    lengths = torch.tensor([16_000, 9_137])
    mask = (torch.arange(16_000) < lengths[:, None]).long()
    wavs = WAV * mask
    with torch.inference_mode():
        out = reference(wavs, lengths)
    assert out.lengths.tolist() == [49, 28]
    theirs = huggingface_states(original, wavs, mask)
    for row, frames in enumerate(out.lengths.tolist()):
        assert worst([h[row, :frames] for h in out.hidden_states], [h[row, :frames] for h in theirs]) < 1e-4


def test_the_reference_equals_the_original_code(tmp_path) -> None:
    original = save_original(tmp_path / "WavLM.pt")
    reference = convert(tmp_path / "WavLM.pt", bidirectional=True)
    # The original's feature extractor hands its audio over normalised; ours normalises by itself.
    normalised = torch.nn.functional.layer_norm(WAV, WAV.shape[-1:])
    with torch.inference_mode():
        ours = reference(WAV).hidden_states
    assert reference.config.normalize
    assert worst(ours, original_states(original, normalised)) < 1e-4
    assert worst(ours, original_states(original, WAV)) > 1e-2


def test_the_reference_without_normalisation_equals_the_original_code(tmp_path) -> None:
    original = save_original(tmp_path / "WavLM.pt", normalize=False, conv_bias=True)
    reference = convert(tmp_path / "WavLM.pt", bidirectional=True)
    with torch.inference_mode():
        assert worst(reference(WAV).hidden_states, original_states(original, WAV)) < 1e-4


@pytest.mark.parametrize("lost", ["encoder.norm.weight", "encoder.layers.2.attention.gru_rel_pos_const"])
def test_the_comparison_would_see_one_tensor_astray(lost) -> None:
    original = huggingface_model()
    reference = convert(original, bidirectional=True)
    with torch.inference_mode():
        reference.state_dict()[lost].add_(0.05)
        assert worst(reference(WAV).hidden_states, huggingface_states(original, WAV)) > 1e-4


def test_a_truncated_reference_has_the_raw_output_of_its_last_layer() -> None:
    original = huggingface_model()
    reference = convert(original, num_layers=2, bidirectional=True)
    assert not reference.config.final_norm
    assert reference.config.num_layers == 2
    with torch.inference_mode():
        assert worst(reference(WAV).hidden_states, huggingface_states(original, WAV)[:2]) < 1e-4


def test_the_reference_cannot_be_streamed() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        convert(huggingface_model(), bidirectional=True).init_state(1)


# --- The student's initialisation.


def test_a_student_takes_the_weights_of_the_first_layers() -> None:
    original = huggingface_model()
    student = convert(original, num_layers=3)
    theirs, ours = original.state_dict(), student.state_dict()
    config = student.config
    assert (config.num_layers, config.causal, config.final_norm, config.normalize) == (3, True, False, False)
    assert (config.front_pad, config.lookahead_size, config.window_size) == ("kernel-stride", 3, 512)
    assert (config.num_buckets, config.max_distance, config.conv_pos) == (32, 60, 16)
    for layer in range(3):
        for kind in ("weight", "bias"):
            qkv = ours[f"encoder.layers.{layer}.attention.qkv_proj.{kind}"]
            for part, letter in zip(qkv.chunk(3), "qkv", strict=True):
                assert torch.equal(part, theirs[f"encoder.layers.{layer}.attention.{letter}_proj.{kind}"])
    assert torch.equal(
        ours["encoder.relative_embedding.weight"], theirs["encoder.layers.0.attention.rel_attn_embed.weight"]
    )
    assert torch.equal(
        ours["feature_extractor.layers.3.norm.bias"],
        theirs["feature_extractor.conv_layers.3.layer_norm.bias"],
    )
    assert torch.equal(
        ours["encoder.layers.2.feed_forward.out_proj.weight"],
        theirs["encoder.layers.2.feed_forward.output_dense.weight"],
    )
    assert torch.allclose(
        ours["encoder.positional_embedding.conv.weight"], original.encoder.pos_conv_embed.conv.weight
    )
    assert not any(name.startswith(("encoder.norm", "encoder.layers.3")) for name in ours)


def test_a_student_streams() -> None:
    student = convert(huggingface_model())
    wavs = noise(1, student.config.chunk_samples, dtype=torch.float32)
    with torch.inference_mode():
        out, _ = student.step(wavs, student.init_state(1))
        assert worst(out.hidden_states, student(wavs).hidden_states) < 1e-4


def test_a_student_has_at_most_twelve_layers_by_default_and_the_reference_all() -> None:
    original = huggingface_model(num_hidden_layers=14)
    assert convert(original).config.num_layers == 12
    assert convert(original, bidirectional=True).config.num_layers == 14
    assert convert(original, num_layers=14).config.num_layers == 14


def test_a_student_takes_the_weights_of_an_original_file(tmp_path) -> None:
    original = save_original(tmp_path / "WavLM.pt")
    original_states(original, WAV)  # its weight normalisation is computed on the way
    student, theirs = convert(tmp_path / "WavLM.pt").state_dict(), original.state_dict()
    q, k, v = student["encoder.layers.1.attention.qkv_proj.weight"].chunk(3)
    for part, letter in ((q, "q"), (k, "k"), (v, "v")):
        assert torch.equal(part, theirs[f"encoder.layers.1.self_attn.{letter}_proj.weight"])
    pos_conv = student["encoder.positional_embedding.conv.weight"]
    assert torch.allclose(pos_conv, original.encoder.pos_conv[0].weight)


@pytest.mark.parametrize("number", [0, 5, "2"])
def test_a_number_of_layers_that_is_not_there_is_refused(number) -> None:
    with pytest.raises(ConfigError, match=r"num_layers must be from 1 to 4.*WavLMModel.*got"):
        convert(huggingface_model(), num_layers=number)


def test_provenance_tells_what_was_converted(tmp_path) -> None:
    save_original(tmp_path / "WavLM-Large.pt")
    student = convert(tmp_path / "WavLM-Large.pt", num_layers=2)
    assert student.provenance == {
        "weights": "converted",
        "converted_from": "WavLM-Large.pt",
        "format": "original",
        "purpose": "student initialisation",
        "layers": "first 2 of 4",
    }
    assert not student.training


# --- Where checkpoints come from.


@pytest.mark.parametrize("safe", [True, False])
def test_a_transformers_folder_is_read_without_transformers(tmp_path, safe, monkeypatch) -> None:
    original = huggingface_model()
    save_folder(original, tmp_path / "wavlm", safe=safe)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    reference = convert(tmp_path / "wavlm", bidirectional=True)
    with torch.inference_mode():
        assert worst(reference(WAV).hidden_states, huggingface_states(original, WAV)) < 1e-4
    assert reference.provenance["converted_from"] == "wavlm"


@pytest.mark.parametrize(("preprocessor", "normalize", "assumed"), [
    ({"do_normalize": True}, True, ()),
    ({"do_normalize": False}, False, ()),
    (None, False, ("normalize",)),
])  # fmt: skip
def test_the_preprocessor_config_tells_whether_to_normalise(
    tmp_path, preprocessor, normalize, assumed, caplog
) -> None:
    save_folder(huggingface_model(), tmp_path)
    if preprocessor is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    with caplog.at_level(logging.WARNING):
        reference = convert(tmp_path, bidirectional=True)
    assert reference.config.normalize is normalize
    assert reference.defaults == assumed
    assert ("normalised audio" in caplog.text) is bool(assumed)
    assert convert(tmp_path).config.normalize is False


@pytest.mark.parametrize("safe", [True, False])
def test_a_hub_id_is_fetched_in_the_format_that_it_has(tmp_path, monkeypatch, safe) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    save_folder(huggingface_model(), tmp_path / "remote", safe=safe)
    fetched: list[str] = []

    def snapshot_download(repo_id: str, *, allow_patterns: list[str], **_: Any) -> str:
        (tmp_path / "cache").mkdir(exist_ok=True)
        for path in (tmp_path / "remote").iterdir():
            if path.name in allow_patterns:
                fetched.append(path.name)
                (tmp_path / "cache" / path.name).write_bytes(path.read_bytes())
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    student = convert("owner/wavlm-large")
    assert student.provenance["converted_from"] == "owner/wavlm-large"
    assert ("pytorch_model.bin" in fetched) is not safe


def test_a_model_with_a_head_converts_and_the_head_is_named_in_the_log(tmp_path, caplog) -> None:
    inner = huggingface_model(vocab_size=9)
    model = import_transformers().WavLMForCTC(inner.config)
    model.wavlm.load_state_dict(inner.state_dict())
    with caplog.at_level(logging.INFO):
        student = convert(model)
    assert "lm_head" in caplog.text
    assert torch.equal(student.feature_proj.weight, inner.feature_projection.projection.weight)


def test_old_weight_norm_names_are_read(tmp_path) -> None:
    save_folder(huggingface_model(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    new = "parametrizations.weight.original"
    assert any(new in name for name in weights)
    old = {
        name.replace(f"{new}0", "weight_g").replace(f"{new}1", "weight_v"): value
        for name, value in weights.items()
    }
    expected = convert(tmp_path).state_dict()
    save_file(old, tmp_path / "model.safetensors")
    found = convert(tmp_path).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_settings_in_a_namespace_are_read(tmp_path) -> None:
    model, cfg = original_model()
    torch.save({"cfg": argparse.Namespace(**cfg), "model": model.state_dict()}, tmp_path / "a.pt")
    assert convert(tmp_path / "a.pt").config.num_layers == 4


def test_convert_is_a_public_name() -> None:
    assert sw.convert is convert


# --- What cannot be converted, and why.


def refusal(source: Any, kind: type[Exception] = UnsupportedCheckpointError) -> str:
    with pytest.raises(kind) as caught:
        convert(source)
    return str(caught.value)


@pytest.mark.parametrize(("changes", "words"), [
    ({"feat_extract_norm": "group"}, ["feat_extract_norm is 'group'", "'layer'", "GroupNorm", "Large"]),
    ({"do_stable_layer_norm": False}, ["do_stable_layer_norm is False", "expected True", "WavLM-Base"]),
    ({"hidden_act": "relu"}, ["hidden_act is 'relu'", "GELU"]),
    ({"feat_extract_activation": "relu"}, ["feat_extract_activation is 'relu'", "GELU"]),
    ({"add_adapter": True}, ["add_adapter is True", "frame rate"]),
    ({"layer_norm_eps": 1e-3}, ["layer_norm_eps is 0.001", "expected 1e-05"]),
])  # fmt: skip
def test_a_transformers_model_of_another_kind_is_refused_with_the_reason(changes, words) -> None:
    message = refusal(huggingface_model(**changes))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("changes", "words"), [
    ({"extractor_mode": "default"}, ["extractor_mode is 'default'", "GroupNorm", "whole utterance"]),
    ({"layer_norm_first": False}, ["layer_norm_first is False", "WavLM-Base"]),
    ({"activation_fn": "relu"}, ["activation_fn is 'relu'", "GELU"]),
    ({"gru_rel_pos": False}, ["gru_rel_pos is False", "gates"]),
    ({"relative_position_embedding": False}, ["relative_position_embedding is False", "relative position"]),
])  # fmt: skip
def test_an_original_model_of_another_kind_is_refused_with_the_reason(tmp_path, changes, words) -> None:
    save_original(tmp_path / "base.pt", **changes)
    message = refusal(tmp_path / "base.pt")
    assert all(word in message for word in ["base.pt", *words]), message


def test_another_model_family_is_refused() -> None:
    transformers = import_transformers()
    config = transformers.HubertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    small = transformers.HubertModel(config)
    assert "model_type is 'hubert', expected 'wavlm'" in refusal(small)
    assert "model_type is None" in refusal(torch.nn.Linear(2, 2))


def test_a_streaming_checkpoint_is_sent_to_load(tmp_path) -> None:
    convert(huggingface_model()).save_pretrained(tmp_path)
    assert "streaming_wavlm.load" in refusal(tmp_path)


def test_an_offline_checkpoint_given_to_load_is_sent_to_convert(tmp_path) -> None:
    save_original(tmp_path / "WavLM.pt")
    save_folder(huggingface_model(), tmp_path / "hf")
    for source in (tmp_path / "WavLM.pt", tmp_path / "hf", tmp_path / "hf" / "model.safetensors"):
        with pytest.raises(UnsupportedCheckpointError, match=r"streaming_wavlm\.convert"):
            sw.load(source)


def test_a_front_end_text_that_is_code_is_refused_and_not_run(tmp_path) -> None:
    for text in (
        "__import__('os').system('true')",
        "[(1,2)]",
        "[(8,10,5)] * 10**9",
        "[(8,10,5)]*64*64",
        "[",
        "[('a',1,1)]",
    ):
        model, cfg = original_model()
        torch.save(
            {"cfg": {**cfg, "conv_feature_layers": text}, "model": model.state_dict()}, tmp_path / "a.pt"
        )
        message = refusal(tmp_path / "a.pt")
        assert "conv_feature_layers" in message
        assert "expected lists of (channels, kernel, stride)" in message


def test_a_file_without_cfg_is_refused(tmp_path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "a.pt")
    message = refusal(tmp_path / "a.pt", CheckpointMismatchError)
    assert "expected a dict with 'cfg' and 'model'" in message
    assert "epoch" in message


def test_missing_tensors_are_listed(tmp_path) -> None:
    save_folder(huggingface_model(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layers.1.final_layer_norm.bias"]
    save_file({**weights, "adapter.proj.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    message = refusal(tmp_path, CheckpointMismatchError)
    assert "1 missing: encoder.layers.1.feed_forward_norm.bias" in message
    assert "1 unexpected: adapter.proj.weight" in message


def test_settings_that_contradict_the_tensors_are_listed(tmp_path) -> None:
    save_folder(huggingface_model(), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "intermediate_size": 100}))
    assert re.search(r"ffn_dim: 48 in the tensors, 100 in", refusal(tmp_path, CheckpointMismatchError))


def test_impossible_settings_are_refused(tmp_path) -> None:
    save_folder(huggingface_model(), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "num_hidden_layers": "four"}))
    assert "num_layers must be a positive integer" in refusal(tmp_path)


def test_a_folder_without_config_or_weights_is_an_error(tmp_path) -> None:
    assert "has no config.json" in refusal(tmp_path, CheckpointNotFoundError)
    (tmp_path / "config.json").write_text('{"model_type": "wavlm"}')
    assert "has no model.safetensors or pytorch_model.bin; it has config.json" in refusal(
        tmp_path, CheckpointNotFoundError
    )
    (tmp_path / "config.json").write_text('{"model_type": "wav')
    assert "no sound JSON" in refusal(tmp_path, CheckpointCorruptError)
    (tmp_path / "config.json").write_text("[]")
    assert "holds a list" in refusal(tmp_path, CheckpointCorruptError)


def save_folder(model: torch.nn.Module, folder: Path, safe: bool = True) -> None:
    model.save_pretrained(folder)
    if not safe:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")


@pytest.mark.parametrize("times", ["1e999", "10**9", "-1"])
def test_a_front_end_text_with_an_impossible_number_is_refused(times) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"expected lists of \(channels, kernel, stride\)"):
        parse_conv_layers(f"[(512,3,2)] * {times}", "x")
