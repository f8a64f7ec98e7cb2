from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest
import torch
import yaml
from head_experts import FRAMEWISE, TASKS, config_of

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb import heads
from streaming_wavlm.superb.heads.rewrite import REWRITES, widened
from streaming_wavlm.superb.tasks import CONFIGS

pytestmark = pytest.mark.usefixtures("hub")


def head_of(config):
    return config["downstream_expert"]["modelrc"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("folder", ["", "mini"])
def test_the_shipped_configs_have_causal_heads(task, folder) -> None:
    config = yaml.safe_load((CONFIGS / folder / f"{task}.yaml").read_text())
    before = copy.deepcopy(config)
    causal = heads.use("causal", task, config)
    assert config == before
    assert heads.kind_of(config) is None
    assert heads.kind_of(causal) == "causal"
    changed = {key for key in before if before[key] != causal[key]}
    assert changed == {"downstream_expert"}
    if task not in FRAMEWISE:
        assert head_of(causal) != head_of(before)
    assert heads.use("causal", task, causal) == heads.use(None, task, causal) == causal


@pytest.mark.parametrize("task", TASKS)
def test_a_published_head_is_the_config_as_it_was(task, tmp_path) -> None:
    config = config_of(task, tmp_path)
    published = heads.use("published", task, config)
    assert published["downstream_expert"].pop("heads") == "published"
    assert published == config
    assert heads.use(None, task, config)["downstream_expert"]["heads"] == "published"


def test_any_task_has_its_published_head() -> None:
    assert heads.use("published", "mosei", {"runner": {}})["runner"] == {}


@pytest.mark.parametrize(("made", "asked"), [("published", "causal"), ("causal", "published")])
def test_an_experiment_of_the_other_kind_is_refused(made, asked, tmp_path) -> None:
    config = heads.use(made, "asr", config_of("asr", tmp_path))
    with pytest.raises(SuperbError, match=f"has {made} heads.*--heads {asked}.*another folder"):
        heads.use(asked, "asr", config)


@pytest.mark.parametrize(
    ("task", "key", "value", "message"),
    [
        ("voxceleb1", "UtteranceLevel", {"pooling": "AttentivePooling"}, "'AttentivePooling'.*MeanPooling"),
        ("emotion", "select", "DeepModel", "'DeepModel'.*UtteranceLevel"),
        ("asr", "select", "Wav2Letter", "'Wav2Letter'.*RNNs"),
        ("sv_voxceleb1", "agg_module", "ASP", "'ASP'.*SP"),
        ("sv_voxceleb1", "module", "Identity", "'Identity'.*XVector"),
        ("separation_stft", "model", "ConvTasNet", "'ConvTasNet'.*SepRNN"),
    ],
)
def test_a_head_without_a_causal_form_is_refused(task, key, value, message, tmp_path) -> None:
    config = config_of(task, tmp_path)
    head_of(config)[key] = value
    with pytest.raises(SuperbError, match=message):
        heads.use("causal", task, config)


def test_a_language_model_that_searches_the_whole_utterance_is_refused(tmp_path) -> None:
    config = config_of("asr", tmp_path)
    config["downstream_expert"]["datarc"]["decoder_args"]["decoder_type"] = "kenlm"
    with pytest.raises(SuperbError, match=r"kenlm.*decoder_type='None'"):
        heads.use("causal", "asr", config)


def test_unknown_tasks_kinds_and_configs_are_refused_with_what_there_is(tmp_path) -> None:
    with pytest.raises(SuperbError, match=r"'asr2'.*did you mean 'asr'"):
        heads.use("causal", "asr2", {})
    with pytest.raises(SuperbError, match=r"no heads 'casual'.*published, causal"):
        heads.use("casual", "asr", {})
    with pytest.raises(SuperbError, match="no section 'modelrc'"):
        heads.use("causal", "asr", {"downstream_expert": {}})
    for ask in (heads.describe, lambda *names: heads.latency_ms(*names, {})):
        with pytest.raises(SuperbError, match=r"'diarisation'.*did you mean 'diarization'"):
            ask("diarisation", "causal")


def test_slot_filling_has_a_causal_head_too() -> None:
    model = {"select": "RNNs", "RNNs": {"bidirection": True, "dim": [1024, 1024]}}
    causal = heads.use("causal", "ctc", {"downstream_expert": {"model": model}})
    assert causal["downstream_expert"]["model"]["RNNs"] == {"bidirection": False, "dim": [1704, 1704]}


@pytest.mark.parametrize(
    ("inputs", "layers", "width"),
    [(1024, 2, 1024), (1024, 3, 896), (80, 3, 896), (256, 2, 256), (256, 2, 128)],
)
def test_a_wider_layer_has_about_as_many_parameters_as_the_two_it_replaces(inputs, layers, width) -> None:
    def size(units, bidirectional):
        lstm = torch.nn.LSTM(inputs, units, layers, bidirectional=bidirectional, device="meta")
        return sum(parameter.numel() for parameter in lstm.parameters())

    assert abs(size(widened(width), False) / size(width, True) - 1) < 0.08


def test_the_names_change_nothing_for_published_configs(hub) -> None:
    for _ in range(2):
        heads.names.register()
    model = importlib.import_module("s3prl.downstream.sv_voxceleb1.model")
    assert model.decide_utter_input_dim("SP", 512, 1500) == 3000
    assert model.decide_utter_input_dim(agg_module_name="MP", input_dim=512, agg_dim=1500) == 1500
    assert (
        model.decide_utter_input_dim(agg_module_name="RunningStatistics", input_dim=512, agg_dim=1500) == 3000
    )
    assert model.SP.__module__ == model.XVector.__module__ == model.__name__


def test_every_task_is_described_in_a_sentence() -> None:
    sentences = {
        (task, kind): heads.describe(task, kind) for task in REWRITES for kind in ("published", "causal")
    }
    assert all(sentence.endswith(".") and len(sentence) < 260 for sentence in sentences.values())
    assert all(sentences[task, "published"] != sentences[task, "causal"] for task in REWRITES)


def test_the_latency_of_each_shipped_head() -> None:
    found = {}
    for task in TASKS:
        config = yaml.safe_load((CONFIGS / f"{task}.yaml").read_text())
        for kind in ("published", "causal"):
            found[task, kind] = heads.latency_ms(task, kind, config)
            assert heads.latency_ms(task, kind, heads.use(kind, task, config)) == found[task, kind]
    whole = ("asr", "voxceleb1", "speech_commands", "fluent_commands", "emotion", "sv_voxceleb1",
             "enhancement_stft", "separation_stft")  # fmt: skip
    assert [task for task in TASKS if found[task, "published"] is None] == [t for t in TASKS if t in whole]
    assert found["phone_linear", "published"] == found["phone_linear", "causal"] == 0
    assert (found["diarization", "published"], found["diarization", "causal"]) == (100, 0)
    assert found["sv_voxceleb1", "causal"] == 100
    assert found["separation_stft", "causal"] == found["enhancement_stft", "causal"] == 16
    assert found["asr", "causal"] == found["voxceleb1", "causal"] == 0


def test_joining_frames_before_the_recogniser_costs_the_frames_joined() -> None:
    layers = {"total_rate": 320, "sample_style": "concat"}
    config = {"downstream_expert": {"modelrc": {"RNNs": layers}}}
    assert heads.latency_ms("asr", "causal", config, frame_ms=10) == 10
    assert heads.latency_ms("asr", "causal", config) == 0
    layers["sample_style"] = "drop"
    assert heads.latency_ms("asr", "causal", config, frame_ms=10) == 0


def test_scoring_of_diarization_smooths_unless_heads_are_causal(tmp_path) -> None:
    config = config_of("diarization", tmp_path)
    assert heads.median_frames(config) == 11
    assert heads.median_frames(heads.use("causal", "diarization", config)) == 1
    config["downstream_expert"]["scorerc"]["median"] = 5
    assert heads.median_frames(config) == 5
    assert heads.latency_ms("diarization", "published", config) == 40


def test_the_median_of_the_published_scoring_waits_as_long_as_is_said() -> None:
    medfilt = pytest.importorskip("scipy.signal").medfilt
    random, begin, first = np.random.default_rng(0), 30, 60
    for _ in range(50):
        frames = random.integers(0, 2, 60).astype(float)
        changed = np.concatenate([frames[:begin], random.integers(0, 2, 60 - begin)])
        different = np.flatnonzero(medfilt(frames, 11) != medfilt(changed, 11))
        first = min([first, *different.tolist()])
    assert (begin - first) * 20 == heads.latency_ms("diarization", "published", {})
